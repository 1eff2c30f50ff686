//! Watched files, by the sidecar and by commands that run once.

use std::ffi::OsString;

use crate::support::sidecar::{self, DEADLINE};
use crate::support::{Haproxy, HaproxyVersion, House, Leaf, Outcome, Sidecar, poll};

/// A house with a watched directory: one file is good, and one has a key that is another one's.
struct Watched {
    house: House,
    good: Leaf,
    bad: Leaf,
    flags: Vec<OsString>,
}

impl Watched {
    fn new() -> Self {
        let house = House::new([Haproxy::new(HaproxyVersion::V2_8)]);
        let directory = house.hotcert.scratch().dir("watched");
        let (good, bad) = (house.pki.leaf("good.test").issue(), house.pki.leaf("bad.test").issue());
        house.hotcert.scratch().write("watched/good.test.pem", good.fullchain_and_key());
        house.hotcert.scratch().write("watched/bad.test.pem", bad.fullchain() + &good.key_pem());
        let flags = house.flags_and(&format!("[[watch]]\ndir = {}\n", sidecar::quoted(directory)));
        Self { house, good, bad, flags }
    }

    fn run(&self, command: &[&str]) -> Outcome {
        self.house.hotcert.run(command.iter().map(OsString::from).chain(self.flags.clone()))
    }

    fn mend(&self) {
        self.house.hotcert.scratch().write("watched/bad.test.pem", self.bad.fullchain_and_key());
    }

    fn is_served(&self, leaf: &Leaf) -> bool {
        sidecar::serial(&self.house.nodes[0], &leaf.names()[0]).as_deref() == Some(leaf.serial())
    }
}

/// Checks that a document tells of the bad file, and of nothing else.
fn expect_problem(outcome: &Outcome) {
    let json = outcome.json();
    let [problem] = &json["problems"].as_array().unwrap()[..] else { panic!("{json:#}") };
    assert!(problem["file"].as_str().unwrap().ends_with("watched/bad.test.pem"), "{json:#}");
    assert_eq!(problem["certificate"], "bad.test");
    assert!(problem["message"].as_str().unwrap().contains("key"), "{json:#}");
    assert!(problem["hint"].is_string(), "{json:#}");
}

#[test]
fn a_broken_file_is_told_by_status_until_it_is_mended() {
    let watched = Watched::new();
    let sidecar = Sidecar::start(&watched.house.hotcert, &watched.flags);
    let told = poll(DEADLINE, || {
        let outcome = watched.run(&["status", "--json"]);
        let is_told =
            outcome.json()["problems"].to_string().contains("bad.test.pem") && watched.is_served(&watched.good);
        (is_told && outcome.json()["certificates"][0]["state"] == "serving").then_some(outcome)
    });
    let outcome = told.unwrap_or_else(|| panic!("{:?}\n{}", watched.run(&["status"]), sidecar.log()));
    expect_problem(&outcome.expect_code(2));
    let text = watched.run(&["status"]).expect_code(2).stdout;
    assert!(text.contains("watched/bad.test.pem: ") && text.contains("hint: "), "{text}");
    // It is no concern of another certificate.
    watched.run(&["status", "good.test"]).expect_code(0);

    watched.mend();
    let mended = poll(DEADLINE, || (watched.run(&["status"]).code == Some(0)).then_some(()));
    assert!(mended.is_some(), "{:?}\n{}", watched.run(&["status"]), sidecar.log());
    assert!(watched.is_served(&watched.bad));
    sidecar.stop().0.expect_code(0);
}

#[test]
fn sync_and_renew_look_at_watched_directories_once() {
    for command in ["sync", "renew"] {
        let watched = Watched::new();
        let outcome = watched.run(&[command, "--json"]).expect_code(2);
        expect_problem(&outcome);
        assert!(watched.is_served(&watched.good));
        let warning =
            outcome.stderr.lines().find(|line| line.starts_with("warning: ") && line.contains("bad.test.pem"));
        assert!(warning.is_some() && outcome.stderr.contains("hint: "), "{outcome:?}");

        watched.mend();
        let outcome = watched.run(&[command, "--json"]).expect_code(0);
        assert_eq!(outcome.json()["problems"].as_array().unwrap().len(), 0, "{outcome:?}");
        assert!(watched.is_served(&watched.bad));
    }
}
