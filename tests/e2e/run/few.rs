//! Of many certificates, those that change are looked at alone; where others may compete with them, everything is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::sidecar::{DEADLINE, serial, served_within};
use crate::support::{Haproxy, HaproxyVersion, House, Leaf, Sidecar, poll};

/// Enough for a part of them to be few.
const COUNT: usize = 40;

/// Many watched certificates, on nodes that serve them.
struct Many {
    // Before the servers: fields are dropped in this order.
    sidecar: Sidecar,
    house: House,
    directory: PathBuf,
    flags: Vec<OsString>,
}

impl Many {
    fn new<const N: usize>(versions: [HaproxyVersion; N]) -> Self {
        let house = House::new(versions.map(Haproxy::new));
        let directory = house.hotcert.scratch().dir("watched");
        let leaves: Vec<_> = (0..COUNT).map(|at| (at, house.pki.leaf(&name(at)).issue())).collect();
        for (at, leaf) in &leaves {
            write(&directory, *at, leaf);
        }
        let watch = format!("[[watch]]\ndir = {:?}\n", directory.to_str().unwrap());
        let flags: Vec<_> = house.flags_and(&watch).into_iter().chain(["-vv".into()]).collect();
        let sidecar = Sidecar::start(&house.hotcert, flags.clone());
        let many = Self { sidecar, house, directory, flags };
        for (at, leaf) in &leaves {
            many.expect_served(*at, leaf);
        }
        many
    }

    fn expect_served(&self, at: usize, leaf: &Leaf) {
        for node in &self.house.nodes {
            let served = served_within(node, &name(at), leaf.serial(), DEADLINE);
            assert!(served.is_some(), "{} on {}\n{}", name(at), node.version().name(), self.sidecar.log());
        }
    }

    /// Replaces a file, and waits until it is served.
    fn renew(&self, at: usize) -> Leaf {
        let leaf = self.house.pki.leaf(&name(at)).issue();
        write(&self.directory, at, &leaf);
        self.expect_served(at, &leaf);
        leaf
    }

    /// How often a round was about few certificates.
    fn rounds_about_few(&self) -> usize {
        self.sidecar.log().matches("looked at few certificates").count()
    }

    /// Renews until that was done by a round about few: what was remembered a moment ago is read anew first.
    fn settle(&self) {
        assert!(poll(DEADLINE, || (self.renew(0), self.rounds_about_few() > 0).1.then_some(())).is_some());
    }
}

fn name(at: usize) -> String {
    format!("shop{at}.test")
}

fn write(directory: &Path, at: usize, leaf: &Leaf) {
    fs::write(directory.join(".new"), leaf.fullchain_and_key()).unwrap();
    fs::rename(directory.join(".new"), directory.join(format!("{}.pem", name(at)))).unwrap();
}

fn expect_all_well(many: &Many) {
    let settled = poll(DEADLINE, || {
        let status = many.house.run(&["status", "--json"]).json();
        let certificates = status["certificates"].as_array().unwrap().clone();
        assert_eq!(certificates.len(), COUNT);
        let is_well = certificates.iter().all(|certificate| certificate["state"] == "serving");
        (is_well && status["problems"].as_array().unwrap().is_empty()).then_some(())
    });
    assert!(settled.is_some(), "{}", many.sidecar.log());
}

#[test]
fn a_renewed_one_of_many_is_served_by_a_round_about_it_alone() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let many = Many::new([version]);
        many.settle();
        let before = many.rounds_about_few();
        for at in [3, 17] {
            many.renew(at);
        }
        assert!(poll(DEADLINE, || (many.rounds_about_few() >= before + 2).then_some(())).is_some());
        expect_all_well(&many);
        many.house.expect_no_open_transaction();
        many.sidecar.stop().0.expect_code(0);
    }
}

#[test]
fn so_is_one_that_several_nodes_serve() {
    let many = Many::new([HaproxyVersion::V2_6, HaproxyVersion::V3_2]);
    // One that comes while all is looked at, as each node is now and then, is brought to its nodes with the others.
    let is_alone = || {
        many.renew(3);
        many.sidecar.log().contains("brought to their nodes by themselves").then_some(())
    };
    assert!(poll(DEADLINE, is_alone).is_some(), "{}", many.sidecar.log());
    expect_all_well(&many);
}

#[test]
fn a_command_that_changes_few_of_many_looks_again_at_those_alone() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let Many { sidecar, house, directory, flags } = Many::new([version]);
        sidecar.stop().0.expect_code(0);
        let load = |names: &[(usize, &[&str])], is_enough: bool| {
            let leaf = |(at, names): &(usize, &[&str])| (*at, house.pki.leaf(&name(*at)).names(names).issue());
            let leaves: Vec<_> = names.iter().map(leaf).collect();
            for (at, leaf) in &leaves {
                write(&directory, *at, leaf);
            }
            let arguments = ["sync", "--json"].map(OsString::from).into_iter().chain(flags.clone());
            let synced = house.hotcert.run(arguments).expect_code(0);
            assert_eq!(synced.stderr.contains("looked again at few certificates"), is_enough, "{synced:?}");
            let told = synced.json();
            let told = told["certificates"].as_array().unwrap();
            assert!(told.len() == COUNT && told.iter().all(|told| told["state"] == "serving"), "{synced:?}");
            for (at, leaf) in &leaves {
                assert_eq!(serial(&house.nodes[0], &name(*at)).as_deref(), Some(leaf.serial()));
                let served = told.iter().find(|told| told["name"] == name(*at).as_str()).unwrap();
                assert_eq!(served["nodes"][0]["verified"], "handshake", "{served}");
            }
        };
        load(&[(3, &[&name(3)]), (17, &[&name(17)])], true);
        // With a name more, of which others may have had one.
        load(&[(5, &[&name(5), "more.test"])], false);
        load(&[(5, &[&name(5), "more.test"])], true);
        house.expect_no_open_transaction();
    }
}

#[test]
fn a_rival_that_another_program_has_loaded_meanwhile_gives_way() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let many = Many::new([version]);
        many.settle();
        let haproxy = &many.house.nodes[0];
        let rival = many.house.pki.leaf("rival.test").names(&[&name(5), &name(6)]).issue();
        let slot = haproxy.crt_dir().join("rival.pem");
        fs::write(&slot, rival.fullchain_and_key()).unwrap();
        let slot = slot.display();
        haproxy.cli(&format!("new ssl cert {slot}"));
        haproxy.set_cert(&slot.to_string(), &rival.fullchain_and_key());
        let added = haproxy.cli(&format!("add ssl crt-list {} {slot}", haproxy.crt_dir().display()));
        assert!(added.contains("Success"), "{added}");

        // Loading moves to the end: without another look at the rival it would stand in front now.
        for at in [5, 6] {
            let leaf = many.renew(at);
            expect_all_well(&many);
            assert_eq!(serial(haproxy, &name(at)).as_deref(), Some(leaf.serial()));
        }
        many.sidecar.stop().0.expect_code(0);
    }
}
