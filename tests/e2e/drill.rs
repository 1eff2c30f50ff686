//! Drives a command through a crash at each of its steps, on real servers.

#![allow(unreachable_pub, reason = "it is shared by the tests of one file")]
#![allow(clippy::print_stderr, reason = "a point that fails is named")]

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{
    Hammer, Haproxy, HaproxyVersion, Hotcert, Http01, Pebble, PebbleVersion, Pki, Point, Site, Steps, Webroot,
};

/// Points that are driven at the same time: a run mostly waits, for the authority and for the disk.
const WORKERS: usize = 5;
/// How often clients come while a certificate is replaced.
const HAMMER: Duration = Duration::from_millis(50);
/// A certificate that was there before, and that nobody touches.
const STEADY: &str = "steady.test";

/// A command that is killed at each of its points.
pub struct Drill {
    pub stage: fn() -> Stage,
    /// What is there before.
    pub prepare: fn(&Stage, &str),
    pub command: fn(&Stage, &str) -> Vec<OsString>,
    /// What must be true after the second run, beside what is always true.
    pub verify: fn(&Crash<'_>),
}

/// The servers, and what the commands of a drill need beside.
pub struct Stage {
    pub site: Site,
    pub webroot: Option<Webroot>,
    pub pki: Pki,
    steady: String,
    pid: u32,
}

/// A point that was driven.
pub struct Crash<'a> {
    pub stage: &'a Stage,
    name: &'a str,
    /// Accounts, orders and certificates at the authority before.
    before: [usize; 3],
    pub killed: &'a Steps,
    generations: usize,
}

/// Lists the steps of the command by a clean run, and kills it at each.
pub fn drive(drill: &Drill) {
    let stage = (drill.stage)();
    (drill.prepare)(&stage, "clean.test");
    let clean = Steps::run(&(drill.command)(&stage, "clean.test"), None);
    assert!(clean.succeeded, "{clean:?}");
    drop(stage);

    let points = clean.points();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut stage = (drill.stage)();
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(point) = points.get(index)
                {
                    let name = format!("p{index}.test");
                    if catch_unwind(AssertUnwindSafe(|| crash_at(point, &name, drill, &mut stage))).is_err() {
                        failed.lock().unwrap().push(point.to_string());
                        // What went wrong here must not count against the next point.
                        stage = (drill.stage)();
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} points failed: {failed:#?}", failed.len(), points.len());
}

/// Kills the command at one point, on a new state directory, and runs it again.
fn crash_at(point: &Point, name: &str, drill: &Drill, stage: &mut Stage) {
    stage.site.hotcert = Hotcert::new();
    let stage = &*stage;
    (drill.prepare)(stage, name);
    let before = stage.counts();
    let served_before = stage.site.serial(name).ok();
    let clients = served_before.is_some().then(|| Hammer::start(stage.site.haproxy.https_addr(), name, HAMMER, 2));

    let command = (drill.command)(stage, name);
    let killed = Steps::run(&command, Some(point));
    let named = Named { point, killed: &killed };
    assert!(killed.killed, "not killed");
    stage.expect_unharmed();
    stage.site.haproxy.check().unwrap();
    if !killed.took("haproxy: certificate committed") {
        assert_eq!(stage.site.serial(name).ok(), served_before, "before anything is committed");
    }

    let again = stage.site.hotcert.run(&command).expect_code(0);
    let certificate = &again.json()["certificates"][0];
    assert_eq!(certificate["state"], "serving", "{again:?}");
    let served = stage.site.served(name);
    assert_eq!(certificate["serial"], served.serial);
    assert_ne!(Some(&served.serial), served_before.as_ref());
    assert_eq!(served.chain.len(), 2);
    if let Some(clients) = clients {
        let report = clients.stop();
        assert_eq!(report.expect_no_errors().serials.first(), served_before.as_ref());
    }
    stage.expect_unharmed();
    stage.site.expect_nothing_half_done();
    stage.site.run(&["plan"]).expect_code(0);

    let generations = stage.site.hotcert.state_dir().join("certs").join(name).join("generations");
    let generations = generations.read_dir().unwrap().count();
    (drill.verify)(&Crash { stage, name, before, killed: &killed, generations });
    drop(named);
}

/// Says at which point an assertion failed, and after which steps.
struct Named<'a> {
    point: &'a Point,
    killed: &'a Steps,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was for {}\n{:?}", self.point, self.killed);
        }
    }
}

impl Stage {
    pub fn new(via: Http01, haproxy: HaproxyVersion, pebble: PebbleVersion) -> Self {
        let pki = Pki::new();
        let haproxy =
            Haproxy::new(haproxy).certificate("steady.test.pem", &pki.leaf(STEADY).issue().fullchain_and_key());
        let site = Site::answering(via, haproxy, Pebble::new(pebble));
        let (steady, pid) = (site.serial(STEADY).unwrap(), site.haproxy.pid());
        Self { site, webroot: None, pki, steady, pid }
    }

    pub fn with_webroot(haproxy: HaproxyVersion, pebble: PebbleVersion) -> Self {
        let mut stage = Self::new(Http01::Listener, haproxy, pebble);
        stage.webroot = Some(Webroot::serve(stage.site.haproxy.acme_addr()));
        stage
    }

    pub fn issue(&self, names: &[&str]) -> Vec<OsString> {
        let mut arguments = self.site.issue_arguments(names);
        arguments.push("--json".into());
        if let Some(webroot) = &self.webroot {
            let at = arguments.iter().position(|argument| argument == "--http-01-listen").unwrap();
            arguments.splice(at..at + 2, ["--webroot".into(), webroot.path().into()]);
        }
        arguments
    }

    pub fn push(&self, file: &str) -> Vec<OsString> {
        let path = self.site.hotcert.scratch().join(file);
        self.with_node(&["push", path.to_str().unwrap(), "--json"])
    }

    pub fn with_node(&self, arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).chain(self.site.node_flags()).collect()
    }

    fn counts(&self) -> [usize; 3] {
        [self.site.pebble.accounts(), self.site.pebble.orders(), self.site.pebble.certificates()]
    }

    /// Checks that HAProxy is the same process, and serves what nobody touched.
    fn expect_unharmed(&self) {
        assert_eq!(self.site.haproxy.pid(), self.pid);
        assert_eq!(self.site.serial(STEADY).as_ref(), Ok(&self.steady));
    }
}

impl Crash<'_> {
    /// Checks that the empty state directory got one account.
    pub fn expect_account(&self) {
        assert_eq!(self.stage.counts()[0] - self.before[0], 1, "accounts for {}", self.name);
    }

    pub fn expect_orders(&self, count: usize) {
        assert_eq!(self.stage.counts()[1] - self.before[1], count, "orders for {}", self.name);
    }

    pub fn expect_issued(&self, count: usize) {
        assert_eq!(self.stage.counts()[2] - self.before[2], count, "certificates for {}", self.name);
    }

    pub fn expect_generations(&self, count: usize) {
        assert_eq!(self.generations, count, "generations of {}", self.name);
    }
}
