//! The certificates of all sequences, made once.

use std::sync::OnceLock;

use hotcert::bundle::Bundle;
use hotcert::model::CertName;

use crate::support::Pki;

/// How many leaves of one certificate there are, each younger than the one before.
const LEAVES: i64 = 7;
/// What others serve, and what they put over it.
const FOREIGN: usize = 4;

/// One leaf with all that belongs to it.
#[derive(Debug)]
pub struct Item {
    pub serial: String,
    pub pem: String,
    pub bundle: Bundle,
}

/// A certificate of ours.
#[derive(Debug)]
pub struct Kind {
    pub name: CertName,
    pub names: &'static [&'static str],
    /// From old to young.
    pub items: Vec<Item>,
    /// What other programs put into its slot.
    pub aliens: Vec<Item>,
}

/// All of them.
#[derive(Debug)]
pub struct Pool {
    pub ours: Vec<Kind>,
    /// Slots that are not ours: for a name of their own, and for one that ours have too.
    pub foreign: Vec<Item>,
    pub foreign_shared: Vec<Item>,
}

/// The names of our certificates. Some are served by several.
const OURS: [(&str, &[&str]); 4] = [
    ("c1", &["a.test", "shared.test"]),
    ("c2", &["b.test", "shared.test"]),
    ("c3", &["c.test", "*.w.test"]),
    ("c4", &["d.test", "x.w.test"]),
];

/// What clients ask for.
pub const ASKED: [&str; 8] = ["a.test", "b.test", "c.test", "d.test", "shared.test", "x.w.test", "y.w.test", "f.test"];

impl Pool {
    /// The one pool.
    pub fn get() -> &'static Self {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(Self::make)
    }

    fn make() -> Self {
        let pki = Pki::new();
        let item = |names: &[&str], from: i64| {
            let leaf = pki.leaf(names[0]).names(names).valid_days(from, 60 + from).issue();
            let pem = leaf.fullchain_and_key();
            let bundle = Bundle::reopen(&"pool".parse().unwrap(), &[pem.as_bytes()]).unwrap();
            Item { serial: leaf.serial().to_owned(), pem, bundle }
        };
        let ours = OURS.iter().map(|&(name, names)| Kind {
            name: name.parse().unwrap(),
            names,
            items: (0..LEAVES).map(|age| item(names, age - 20)).collect(),
            // Older than any of ours, so that they never keep ours away.
            aliens: (0..2).map(|_| item(names, -40)).collect(),
        });
        Self {
            ours: ours.collect(),
            foreign: (0..FOREIGN).map(|_| item(&["f.test"], -10)).collect(),
            foreign_shared: (0..FOREIGN).map(|_| item(&["f.test", "shared.test"], -10)).collect(),
        }
    }

    /// The one with a serial number.
    pub fn item(&self, serial: &str) -> &Item {
        self.all().find(|item| item.serial == serial).unwrap_or_else(|| panic!("{serial} is of no certificate"))
    }

    /// The one that a file holds.
    pub fn in_file(&self, content: &str) -> Option<&Item> {
        self.all().find(|item| item.pem == content)
    }

    /// Whether it is one that other programs put into slots of ours.
    pub fn is_alien(&self, serial: &str) -> bool {
        self.ours.iter().flat_map(|kind| &kind.aliens).any(|item| item.serial == serial)
    }

    fn all(&self) -> impl Iterator<Item = &Item> {
        let ours = self.ours.iter().flat_map(|kind| kind.items.iter().chain(&kind.aliens));
        ours.chain(&self.foreign).chain(&self.foreign_shared)
    }
}

impl Item {
    /// Whether clients take it for a name.
    pub fn covers(&self, name: &str) -> bool {
        self.bundle.facts().covers(&name.parse().unwrap())
    }
}
