//! Whose line it is: a crt-list may name a slot in more than one way.
//!
//! `HAProxy` puts `crt-base` before a relative name, and takes `./` and `//` as they are. Its listing has the names that came out
//! of that, so `crt-base` is found by comparing the file with what was loaded from it.

use std::borrow::Cow;
use std::path::Path;

use super::Entry;
use crate::model::{KeyKind, Slot};

/// How names of one crt-list become slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// What is put before a relative name, its slash included; empty without `crt-base`, `None` when nothing tells.
    base: Option<String>,
}

impl Names {
    /// Compares the entries of a file with those that `HAProxy` has loaded: their lines and names.
    #[must_use]
    pub fn compare(entries: &[Entry], loaded: &[(u32, &str)]) -> Self {
        let bases = |entry: &Entry, any_line: bool| {
            let line = u32::try_from(entry.line).ok();
            let of = |&(at, name): &(u32, &str)| {
                let base = name.strip_suffix(entry.certificate.as_str())?;
                ((any_line || Some(at) == line) && (base.is_empty() || base.ends_with('/'))).then(|| base.to_owned())
            };
            loaded.iter().find_map(of)
        };
        let relative = || entries.iter().filter(|entry| is_relative(&entry.certificate));
        // After a change of the file, numbers of lines no longer agree; then the ending has to do.
        let base = relative()
            .find_map(|entry| bases(entry, false))
            .or_else(|| relative().find_map(|entry| bases(entry, true)));
        Self { base }
    }

    /// Whether a name of the file is that of a slot.
    #[must_use]
    pub fn is(&self, name: &str, slot: &Slot) -> bool {
        same_path(&self.full(name), slot.as_str())
    }

    /// Whether a name of the file is that of a slot, or stands for files of both kinds, of which the slot is one: `HAProxy` looks for
    /// them where there is no file of that name itself (configuration manual, `crt`).
    #[must_use]
    pub fn stands_for(&self, name: &str, slot: &Slot) -> bool {
        let full = self.full(name);
        let is_one_of = |kind: KeyKind| {
            let rest = slot.as_str().strip_suffix(kind.as_str()).and_then(|rest| rest.strip_suffix('.'));
            rest.is_some_and(|rest| same_path(rest, &full)) && !Path::new(full.as_ref()).exists()
        };
        same_path(&full, slot.as_str()) || KeyKind::ALL.into_iter().any(is_one_of)
    }

    fn full<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.base {
            Some(base) if is_relative(name) => Cow::Owned(format!("{base}{name}")),
            _ => Cow::Borrowed(name),
        }
    }
}

fn is_relative(name: &str) -> bool {
    !name.starts_with(['/', '@'])
}

/// Whether two names lead to one file by their text alone; aliases are compared as they are.
#[must_use]
pub fn same_path(one: &str, other: &str) -> bool {
    let is_path = |name: &str| !name.starts_with('@');
    one == other
        || (is_path(one)
            && is_path(other)
            && one.starts_with('/') == other.starts_with('/')
            && parts(one).eq(parts(other)))
}

/// What names of the same path have in common: the last part of it.
#[must_use]
pub fn last_part(name: &str) -> &str {
    parts(name).next().unwrap_or_default()
}

/// The parts of a path from its end, without those that say nothing.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.rsplit('/').filter(|part| !part.is_empty() && *part != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: usize, certificate: &str) -> Entry {
        Entry { line, certificate: certificate.to_owned(), options: Vec::new(), filters: Vec::new() }
    }

    #[test]
    fn one_name_may_stand_for_files_of_both_kinds() {
        let names = Names::default();
        let slot = |text: &str| text.parse::<Slot>().unwrap();
        assert!(
            names.stands_for("/no/a.pem", &slot("/no/a.pem.rsa")) && !names.is("/no/a.pem", &slot("/no/a.pem.rsa"))
        );
        assert!(!names.stands_for("/no/a.pem", &slot("/no/a.pem.other")));
        // A file of the name itself comes first.
        assert!(!names.stands_for("/dev/null", &slot("/dev/null.rsa")));
    }

    #[test]
    fn a_relative_name_is_the_slot_that_haproxy_made_of_it() {
        let slot = |text: &str| text.parse::<Slot>().unwrap();
        let file = [entry(1, "/y/a.pem"), entry(2, "a.pem"), entry(3, "./b.pem")];
        let names = Names::compare(&file, &[(1, "/y/a.pem"), (2, "/x/a.pem"), (3, "/x/./b.pem")]);
        assert!(names.is("a.pem", &slot("/x/a.pem")) && !names.is("a.pem", &slot("/y/a.pem")));
        assert!(names.is("./b.pem", &slot("/x/./b.pem")) && names.is("./b.pem", &slot("/x/b.pem")));
        assert!(names.is("/x//a.pem", &slot("/x/a.pem")));
        // Lines have moved since it was loaded.
        let names = Names::compare(&file[2..], &[(7, "/x/./b.pem")]);
        assert!(names.is("./b.pem", &slot("/x/b.pem")));
        // Nothing relative is loaded, or there is no crt-base.
        assert!(!Names::default().is("a.pem", &slot("/x/a.pem")));
        let names = Names::compare(&[entry(1, "certs/a.pem")], &[(1, "certs/a.pem")]);
        assert!(names.is("certs/a.pem", &slot("certs/a.pem")) && !names.is("a.pem", &slot("/certs/a.pem")));
        assert!(names.is("@web/./a", &slot("@web/./a")) && !names.is("@web/./a", &slot("@web/a")));
    }
}
