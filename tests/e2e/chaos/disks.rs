//! A disk fills or becomes read-only while the sidecar runs.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::support::disk::TinyDisk;
use crate::support::sidecar::{self, served_within};
use crate::support::{Haproxy, HaproxyVersion, House, Sidecar};

const NAME: &str = "shop.test";
/// Room for a store with a few certificates.
const KIB: u32 = 512;
/// In this time it tries again more than once, and is to say nothing new.
const RETRIES: Duration = Duration::from_secs(4);
/// How long it may take to notice that there is room again.
const RECOVERY: Duration = Duration::from_secs(30);

/// What is done to a disk, how it is undone, what is told of it, and whether it takes a person to mend it.
type Trouble = (fn(&TinyDisk), fn(&TinyDisk), &'static str, bool);

const FULL: Trouble = (TinyDisk::fill, TinyDisk::free, "no space is left", false);
const READ_ONLY: Trouble = (|disk| disk.read_only(true), |disk| disk.read_only(false), "not allowed", true);

#[test]
fn what_is_served_stays_served_while_nothing_can_be_published() {
    suffer(|house| house.nodes[0].crt_dir(), &[FULL, READ_ONLY]);
}

/// A disk on which the sidecar has its locks open cannot be made read-only.
#[test]
fn what_is_served_stays_served_while_nothing_can_be_stored() {
    suffer(|house| house.hotcert.state_dir(), &[FULL]);
}

fn suffer(place: impl Fn(&House) -> PathBuf, troubles: &[Trouble]) {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let files = house.hotcert.scratch().dir("files");
    let mut old = house.push("shop.test");
    let disk = TinyDisk::mount(place(&house), KIB);
    let flags = house.flags_and(&format!("[[watch]]\ndir = \"{}\"\n", files.display()));
    let House { nodes, hotcert, pki } = house;
    let hotcert = hotcert.on_disk(&disk);
    let mut sidecar = Sidecar::start(&hotcert, flags);
    let write = |dir: &Path| {
        let leaf = pki.leaf(NAME).issue();
        hotcert.scratch().write(dir.join(format!("{NAME}.pem")), leaf.fullchain_and_key());
        leaf
    };
    old = {
        let leaf = write(&files);
        assert!(served_within(&nodes[0], NAME, leaf.serial(), RECOVERY).is_some(), "{}", sidecar.log());
        drop(old);
        leaf
    };
    for (break_it, mend_it, says, is_denied) in troubles {
        break_it(&disk);
        let new = write(&files);
        sidecar.wait_for(says);
        thread::sleep(RETRIES);
        let log = sidecar.log();
        let told = log
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .filter(|line| line.contains(says));
        assert_eq!(told.count(), 1, "{says}\n{log}");
        assert_eq!(sidecar::serial(&nodes[0], NAME).as_deref(), Some(old.serial()));
        mend_it(&disk);
        // What only a person can mend is tried again when anything happens, else every other minute.
        let new = if *is_denied { write(&files) } else { new };
        assert!(served_within(&nodes[0], NAME, new.serial(), RECOVERY).is_some(), "{}", sidecar.log());
        old = new;
    }
    let listing = nodes[0].cli("show ssl cert");
    assert!(!listing.contains("# transaction"), "{listing}");
    sidecar.stop().0.expect_code(0);
}
