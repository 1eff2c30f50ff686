//! What must be true after every step of a sequence, and at its end.

use std::collections::BTreeMap;
use std::fs;

use super::pool::{ASKED, Pool};
use super::server::{FOREIGN, Server};
use super::wire::Fault;
use super::world::World;
use hotcert::reconcile::Report;

/// What clients of each node are shown for each name.
pub type Shown = BTreeMap<(String, &'static str), Option<String>>;

impl World {
    pub fn shown(&self) -> Shown {
        let up = self.nodes.iter().filter(|node| node.server.is_up());
        up.flat_map(|node| ASKED.map(|name| ((node.name.clone(), name), node.server.shown(name)))).collect()
    }

    /// Takes in what others did, and what a start may have read from files.
    fn learn(&mut self) {
        let pool = Pool::get();
        for node in &mut self.nodes {
            let server = &node.server;
            let put = std::mem::take(&mut server.others().put);
            let files =
                std::iter::once(FOREIGN.to_owned()).chain(self.kinds.iter().map(|kind| format!("{}.pem", kind.name)));
            let read = files.filter_map(|file| {
                let content = fs::read_to_string(server.directory.join(&file)).ok()?;
                let item = pool.in_file(&content).unwrap_or_else(|| panic!("{file} of {} is of nobody", node.name));
                Some((server.slot(&file), item.serial.clone()))
            });
            let read: Vec<_> = read.collect();
            // A file counts only once it may have been read.
            let read = read.into_iter().filter(|_| server.others().disturbed);
            for (slot, serial) in put.into_iter().chain(read) {
                if slot == server.slot(FOREIGN) {
                    node.foreign.insert(serial);
                } else if let Some(kind) =
                    self.kinds.iter().find(|kind| slot == server.slot(&format!("{}.pem", kind.name)))
                {
                    self.known.entry(kind.name.clone()).or_default().insert(serial.clone());
                    node.allowed.entry(kind.name.clone()).or_default().insert(serial);
                }
            }
        }
    }

    /// After a step: every slot and every client has the old or the new certificate.
    pub fn judge(&mut self, before: &Shown, happened: &[Fault], report: Option<&Report>) {
        self.learn();
        let is_clean = happened.is_empty() && report.is_some_and(|report| report.failures.is_empty());
        let current: Vec<_> = self.kinds.iter().map(|kind| (kind.name.clone(), self.current(&kind.name))).collect();
        for node in &mut self.nodes {
            let server = &node.server;
            assert!(server.is_unharmed(), "{} was sent what it dies of", node.name);
            if !server.is_up() {
                continue;
            }
            for (name, current) in &current {
                let held = server.held(&server.slot(&format!("{name}.pem")));
                let allowed = node.allowed.entry(name.clone()).or_default();
                assert!(
                    held.is_none() || allowed.contains(held.as_ref().unwrap()),
                    "{name} on {} is {held:?}",
                    node.name
                );
                if is_clean && let Some(current) = current {
                    assert_eq!(held.as_ref(), Some(current), "{name} on {} after a round", node.name);
                    *allowed = [current.clone()].into();
                }
            }
            let foreign = server.held(&server.slot(FOREIGN)).expect("nobody deletes it");
            assert!(node.foreign.contains(&foreign), "what is not ours on {} is {foreign}", node.name);
            node.foreign = [foreign].into();
            if is_clean {
                expect_no_transaction_of_ours(&node.name, server);
            }
            let legitimate = |name: &str, serial: &String| {
                let ours = node.allowed.values().flatten();
                ours.chain(&node.foreign).any(|known| known == serial) && Pool::get().item(serial).covers(name)
            };
            for name in ASKED {
                let now = server.shown(name);
                let was = before.get(&(node.name.clone(), name)).cloned().flatten();
                assert!(now.as_ref().is_none_or(|now| legitimate(name, now)), "{name} on {} is {now:?}", node.name);
                // What others have put there is not ours to keep.
                let was = was.filter(|was| !Pool::get().is_alien(was));
                let lost = was.is_some() && now.is_none() && !server.others().disturbed;
                assert!(!lost, "{name} on {} is served no more; it was {was:?}", node.name);
            }
        }
    }

    /// Once nothing goes wrong any more, two rounds bring everything about, and a start from the files changes nothing.
    pub fn converge(&mut self) {
        self.wires.mend();
        for node in &self.nodes {
            node.server.lock_for(0);
            if !node.server.is_up() {
                node.server.restart();
            }
            node.server.act(&super::server::Other::Abort);
        }
        self.settle();
        for node in &self.nodes {
            node.server.restart();
        }
        self.learn();
        let shown = self.shown();
        for kind in &self.kinds {
            let Some(current) = self.current(&kind.name) else { continue };
            for name in Self::alone(kind.names) {
                for node in &self.nodes {
                    let found = &shown[&(node.name.clone(), name)];
                    assert_eq!(found.as_ref(), Some(&current), "{name} on {} after its start", node.name);
                }
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..2 {
            let before = self.shown();
            let report = self.round(None).done().expect("nobody was killed");
            assert!(report.is_some(), "no round");
            self.judge(&before, &[Fault::CutBefore], report.as_ref());
        }
        let left = self.steps_left();
        assert!(left.values().all(Vec::is_empty), "{left:#?}");
        for node in &self.nodes {
            node.server.others().disturbed = false;
            expect_no_transaction_of_ours(&node.name, &node.server);
            let entries = fs::read_dir(&node.server.directory).unwrap().flatten();
            let hidden: Vec<_> =
                entries.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with('.')).collect();
            assert!(hidden.is_empty(), "{hidden:?} are left behind");
        }
        for kind in &self.kinds {
            let Some(current) = self.current(&kind.name) else { continue };
            let alone = Self::alone(kind.names);
            for node in &self.nodes {
                let (name, server) = (&node.name, &node.server);
                assert_eq!(
                    server.held(&server.slot(&format!("{}.pem", kind.name))).as_ref(),
                    Some(&current),
                    "on {name}"
                );
                for asked in &alone {
                    assert_eq!(server.shown(asked).as_ref(), Some(&current), "{asked} on {name}");
                }
                let file = fs::read_to_string(server.directory.join(format!("{}.pem", kind.name))).unwrap();
                assert_eq!(file, Pool::get().item(&current).bundle.combined_pem(), "the file on {name}");
            }
        }
        self.expect_the_rightful();
    }

    /// Which of several certificates serves a name: ours before those of others, few names before many, then by name. What 3.2 lists
    /// and what handshakes show lets hotcert know who serves it; where it knows neither, any that is current will do.
    fn expect_the_rightful(&self) {
        let sharing = self.kinds.iter().filter(|kind| kind.names.contains(&"shared.test"));
        let current: Vec<String> = sharing.filter_map(|kind| self.current(&kind.name)).collect();
        let Some(rightful) = current.first() else { return };
        // What hotcert has no certificate for is not its own, even where it is ours to give.
        let others = self
            .kinds
            .iter()
            .filter(|kind| self.current(&kind.name).is_none())
            .map(|kind| format!("{}.pem", kind.name));
        let others: Vec<String> = others.chain([FOREIGN.to_owned()]).collect();
        for node in &self.nodes {
            let server = &node.server;
            let shown = server.shown("shared.test").expect("it is served");
            let mut foreign = Vec::new();
            // What cannot be read from its file cannot be made to give way.
            let mut is_movable = true;
            for slot in others.iter().map(|file| server.slot(file)) {
                let Some(held) = server.held(&slot) else { continue };
                let file = fs::read_to_string(&slot).ok();
                is_movable &= file.is_some_and(|file| file == Pool::get().item(&held).pem);
                foreign.push(held);
            }
            let is_known = server.version >= crate::support::HaproxyVersion::V3_2 || server.https().is_some();
            if is_known && is_movable {
                assert_eq!(&shown, rightful, "shared.test on {}", node.name);
            } else {
                let is_legitimate = current.contains(&shown) || foreign.contains(&shown);
                assert!(is_legitimate, "shared.test on {} is {shown}", node.name);
            }
        }
    }

    /// The names that only one certificate has.
    fn alone(names: &[&'static str]) -> Vec<&'static str> {
        let asked = names.iter().map(|name| if *name == "*.w.test" { "y.w.test" } else { name });
        asked.filter(|name| *name != "shared.test").collect()
    }
}

fn expect_no_transaction_of_ours(name: &str, server: &Server) {
    let open = server.open();
    let theirs = server.others().open.clone().map(|(slot, _, _)| slot);
    assert!(open.is_none() || open == theirs, "a transaction on {open:?} is open on {name}");
}
