//! Whatever happens to files, in whatever order: in the end the store is what the files say.

use std::fs;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::place::{DEADLINE, Place};
use crate::support::{Leaf, poll};

/// How a certificate lies in the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Pem,
    Pair,
    Live,
}

/// What the files of one certificate hold: which leaf is in the certificate file, and which one's key is there.
struct Files {
    name: String,
    kind: Kind,
    certificate: Option<usize>,
    key: Option<usize>,
    broken: bool,
    leaves: Vec<Leaf>,
}

impl Files {
    fn paths(&self) -> (String, String) {
        let name = &self.name;
        match self.kind {
            Kind::Pem => (format!("{name}.pem"), format!("{name}.pem")),
            Kind::Pair => (format!("{name}.crt"), format!("{name}.key")),
            Kind::Live => (format!("{name}/fullchain.pem"), format!("{name}/privkey.pem")),
        }
    }

    /// The leaf that must be stored in the end, if the files are a certificate.
    fn valid(&self) -> Option<&Leaf> {
        let leaf = self.certificate.filter(|_| !self.broken && self.certificate == self.key)?;
        Some(&self.leaves[leaf])
    }

    /// Does one thing to the files.
    fn change(&mut self, place: &Place, random: &mut StdRng) {
        let (certificate, key) = self.paths();
        let put = |random: &mut StdRng, file: &str, text: &str| {
            if random.random_bool(0.5) {
                place.write(file, text);
            } else {
                let beside = place.write(&format!("{file}.tmp"), text);
                fs::rename(beside, place.dir().join(file)).unwrap();
            }
        };
        // Only forward: an older certificate would be refused, or not, by what was seen in between.
        let newest = self.certificate.max(self.key).unwrap_or_default();
        let which = random.random_range(newest..self.leaves.len().min(newest + 2));
        match random.random_range(0..10) {
            0 => {
                let whole = self.leaves[which].fullchain_and_key();
                // Without its end, a leaf is no leaf.
                let cut = random.random_range(1..self.leaves[which].cert_pem().len() - 1);
                put(random, &certificate, &whole[..cut]);
                self.broken = true;
                self.certificate = self.certificate.max(Some(newest));
                if self.kind == Kind::Pem {
                    self.key = self.certificate;
                }
            }
            1 => {
                let _ = fs::remove_file(place.dir().join(&certificate));
                self.broken = true;
            }
            2 if self.kind == Kind::Live => {
                let _ = fs::remove_dir_all(place.dir().join(&self.name));
                self.broken = true;
                self.key = None;
            }
            _ if self.kind == Kind::Pem => {
                put(random, &certificate, &self.leaves[which].fullchain_and_key());
                (self.certificate, self.key, self.broken) = (Some(which), Some(which), false);
            }
            3..6 => {
                put(random, &key, &self.leaves[which].key_pem());
                self.key = Some(which);
            }
            _ => {
                put(random, &certificate, &self.leaves[which].fullchain());
                (self.certificate, self.broken) = (Some(which), false);
            }
        }
    }
}

#[test]
fn in_the_end_the_store_is_what_the_files_say() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    check(Place::new(), seed);
}

#[test]
fn in_the_end_the_store_is_what_the_files_say_without_events_too() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    check(Place::new().without_events(), seed);
}

fn check(mut place: Place, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    place.start();
    let mut all: Vec<Files> = (0..30)
        .map(|number| {
            let name = format!("cert-{number}");
            let leaves = (0..6).map(|age| place.leaf(&format!("{name}.test"), 60 - age * 10)).collect();
            let kind = [Kind::Pem, Kind::Pair, Kind::Live][number % 3];
            Files { name, kind, certificate: None, key: None, broken: false, leaves }
        })
        .collect();
    for step in 0..400 {
        let which = random.random_range(0..all.len());
        all[which].change(&place, &mut random);
        if step == 200 {
            place.start();
        }
        if random.random_bool(0.05) {
            std::thread::sleep(std::time::Duration::from_millis(random.random_range(1..60)));
        }
    }

    for files in &all {
        match files.valid() {
            Some(leaf) => {
                place.expect(&files.name, leaf);
                let path = place.dir().join(files.paths().0);
                let is_right =
                    poll(DEADLINE, || place.problems().iter().all(|problem| problem.file != path).then_some(()));
                assert!(is_right.is_some(), "{}: {:?}", files.name, place.problems());
            }
            // What was good once stays.
            None => {
                if let Some(stored) = place.stored(&files.name) {
                    assert!(files.leaves.iter().any(|leaf| leaf.sha256() == stored));
                    place.expect_problem(&files.paths().0, "");
                }
            }
        }
    }
    place.settle();
    let before: Vec<_> = all.iter().map(|files| place.stored(&files.name)).collect();
    // Nothing is left to do for another look.
    place.stop();
    assert!(place.once().stored.is_empty());
    assert_eq!(before, all.iter().map(|files| place.stored(&files.name)).collect::<Vec<_>>());
}
