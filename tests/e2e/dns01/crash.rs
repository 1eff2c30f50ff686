//! Killed after each step that has to do with a record: the next run takes away whatever was left.

use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{County, expect_no_notes};
use crate::support::{Hotcert, Point, Steps};

/// Points that are driven at the same time.
const WORKERS: usize = 4;
/// What is done with records, and what stands next to it. The others are driven by `crash.rs`.
const STEPS: [&str; 7] = [
    "store: order url journalled",
    "store: token stored",
    "solver: record added",
    "acme: challenge ready",
    "solver: record removed",
    "store: token forgotten",
    "store: journal closed",
];

#[test]
fn no_record_outlives_the_run_after_a_crash() {
    let county = County::new();
    let solver = county.rfc2136();
    let command = |hotcert: &Hotcert, name: &str| -> Vec<OsString> {
        let domains = [format!("{name}.test"), format!("*.{name}.test")];
        let flags = county.flags_of(hotcert, &solver, name, &domains.each_ref().map(String::as_str));
        ["renew", "-v", "--json"].iter().map(OsString::from).chain(flags).collect()
    };
    let clean = Steps::run(&command(&Hotcert::new(), "clean"), None);
    assert!(clean.succeeded, "{clean:?}");
    assert_eq!(county.bind.txt("_acme-challenge.clean.test"), [] as [String; 0]);
    let points: Vec<Point> = clean.points().into_iter().filter(|point| STEPS.contains(&point.step.as_str())).collect();
    assert_eq!(points.len(), 12, "{clean:?}");

    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(point) = points.get(index)
                {
                    let (hotcert, name) = (Hotcert::new(), format!("p{index}"));
                    let command = command(&hotcert, &name);
                    let killed = Steps::run(&command, Some(point));
                    let again = hotcert.run(&command);
                    let left = county.bind.txt(&format!("_acme-challenge.{name}.test"));
                    if !killed.killed || again.code != Some(0) || !left.is_empty() {
                        failed.lock().unwrap().push(format!("{point}: {left:?} {killed:?} {again:?}"));
                    }
                    expect_no_notes(&hotcert);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), points.len());
}

#[test]
fn a_record_of_an_order_that_nobody_goes_on_with_is_removed_too() {
    let county = County::new();
    let flags = |name: &str, domain: &str| -> Vec<OsString> {
        ["renew", "-v", "--json"]
            .iter()
            .map(OsString::from)
            .chain(county.flags(&county.rfc2136(), name, &[domain]))
            .collect()
    };
    let killed = Steps::run(&flags("gone", "gone.test"), Some(&Point { step: STEPS[3].to_owned(), occurrence: 1 }));
    assert!(killed.killed, "{killed:?}");
    assert_eq!(county.bind.txt("_acme-challenge.gone.test").len(), 1);
    // It is not configured any more.
    county.hotcert.run(flags("other", "other.test")).expect_code(0);
    county.expect_tidy(&["_acme-challenge.gone.test", "_acme-challenge.other.test"]);
}
