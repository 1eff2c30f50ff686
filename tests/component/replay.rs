//! Sequences as `tests/properties.rs` plays them, and a push to a fleet that is killed at each of its with real servers.

use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::play::sequence::play;
use crate::support::client::{Options, handshake};
use crate::support::{Chance, Haproxy, HaproxyVersion, Hotcert, Leaf, Pki, Point, Steps};

/// How many sequences are played, over all versions, unless `TEST_REPLAYS` says otherwise.
const REPLAYS: usize = 8;
/// Points of a push that are driven at the same time: a run mostly waits.
const WORKERS: usize = 3;

#[test]
fn what_holds_in_memory_holds_with_real_haproxies() {
    let given = std::env::var("TEST_REPLAYS").ok();
    let count: usize = given.map_or(REPLAYS, |count| count.parse().unwrap());
    let first = Chance::seed();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < count
                {
                    let seed = first.wrapping_add(number as u64);
                    play(seed, Some(HaproxyVersion::ALL[(seed % 4) as usize]));
                }
            });
        }
    });
}

/// Two nodes, and a user of them.
struct Fleet {
    nodes: [Haproxy; 2],
    pki: Pki,
    hotcert: Hotcert,
}

impl Fleet {
    fn new() -> Self {
        let pki = Pki::new();
        let node = |version| {
            let steady = pki.leaf("steady.test").issue();
            Haproxy::new(version).certificate("steady.pem", &steady.fullchain_and_key()).start()
        };
        Self { nodes: [node(HaproxyVersion::V2_6), node(HaproxyVersion::V3_2)], hotcert: Hotcert::new(), pki }
    }

    /// A user with nothing stored, who has two leaves for a name and has pushed the old one.
    fn prepare(&mut self, name: &str) -> [Leaf; 2] {
        self.hotcert = Hotcert::new();
        let leaves = ["old.pem", "new.pem"].map(|file| {
            let leaf = self.pki.leaf(name).issue();
            self.hotcert.scratch().write(file, leaf.fullchain_and_key());
            leaf
        });
        let mut config = format!("version = 1\nstate_dir = {:?}\n", self.hotcert.state_dir());
        for (number, node) in self.nodes.iter().enumerate() {
            config += &format!(
                "[haproxy.n{number}]\nsocket = {:?}\ncrt_dir = {:?}\nverify = [\"{}\"]\n",
                node.socket(),
                node.crt_dir(),
                node.https_addr()
            );
        }
        self.hotcert.scratch().write("hotcert.toml", config);
        self.hotcert.run(self.arguments(&["push", "old.pem"])).expect_code(0);
        leaves
    }

    fn arguments(&self, command: &[&str]) -> Vec<OsString> {
        let path = |name: &str| self.hotcert.scratch().join(name).into_os_string();
        let mut arguments = vec!["--config".into(), path("hotcert.toml")];
        arguments.extend(command.iter().map(|word| if word.contains('.') { path(word) } else { word.into() }));
        arguments
    }

    fn served(&self, name: &str) -> [String; 2] {
        self.nodes.each_ref().map(|node| handshake(node.https_addr(), name, Options::default()).unwrap().serial)
    }

    /// Kills a push at a point, and pushes again.
    fn crash_at(&mut self, point: &Point, name: &str) {
        let [old, new] = self.prepare(name);
        let push = self.arguments(&["push", "new.pem"]);
        let killed = Steps::run(&push, Some(point));
        assert!(killed.killed, "{killed:?}");
        let (old, new) = (old.serial().to_owned(), new.serial().to_owned());
        for served in self.served(name) {
            assert!(served == old || served == new, "{served} is served, after {killed:?}");
            assert!(served == old || killed.took("haproxy: certificate committed"), "{killed:?}");
        }
        // What is stored is brought about by any round; what is not was never pushed.
        self.hotcert.run(self.arguments(&["sync"])).expect_code(0);
        let [first, second] = self.served(name);
        assert_eq!(first, second, "after a round, and {killed:?}");
        self.hotcert.run(&push).expect_code(0);
        assert_eq!(self.served(name), [new.clone(), new]);
        self.hotcert.run(self.arguments(&["plan"])).expect_code(0);
        for node in &self.nodes {
            assert!(!node.cli("show ssl cert").contains("# transaction"));
            node.check().unwrap();
        }
    }
}

#[test]
fn a_fleet_push_that_is_killed_anywhere_leaves_the_old_or_the_new_certificate_and_the_next_round_converges() {
    let points = {
        let mut fleet = Fleet::new();
        fleet.prepare("clean.test");
        let clean = Steps::run(&fleet.arguments(&["push", "new.pem"]), None);
        assert!(clean.succeeded, "{clean:?}");
        clean.points()
    };
    assert!(points.len() > 15, "{points:?}");
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut fleet = Fleet::new();
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(point) = points.get(index)
                {
                    fleet.crash_at(point, &format!("p{index}.test"));
                }
            });
        }
    });
}
