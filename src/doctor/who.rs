//! Users and groups by name, from the local files (`passwd(5)`, `group(5)`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The users and groups of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    passwd: String,
    group: String,
}

/// Somebody who wants to reach a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) uid: u32,
    pub(super) groups: BTreeSet<u32>,
}

/// What is wanted of a file: the bits of one class in its mode.
pub(super) const WRITE: u32 = 0o2;
pub(super) const SEARCH: u32 = 0o1;

impl Who {
    pub(super) fn at(root: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(root.join("etc").join(name)).unwrap_or_default();
        Self { passwd: read("passwd"), group: read("group") }
    }

    /// The name of a user, or the number where it has none here.
    pub(super) fn user(&self, uid: u32) -> String {
        named(&self.passwd, uid)
    }

    /// The name of a group, likewise.
    pub(super) fn group(&self, gid: u32) -> String {
        named(&self.group, gid)
    }

    /// A user by name, with the groups that count for it.
    pub(super) fn person(&self, name: &str, more: &[String]) -> Option<Person> {
        let line = self.passwd.lines().find(|line| line.split(':').next() == Some(name));
        let mut fields = line?.split(':').skip(2);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mut groups = BTreeSet::from([gid]);
        for line in self.group.lines() {
            let fields: Vec<_> = line.split(':').collect();
            let [group, _, gid, members] = fields[..] else { continue };
            if members.split(',').any(|member| member == name) || more.iter().any(|more| more == group) {
                groups.extend(gid.parse::<u32>());
            }
        }
        Some(Person { uid, groups })
    }

    /// Who owns a file, as in `root:haproxy, mode 0660`.
    pub(super) fn owner_of(&self, found: &fs::Metadata) -> String {
        format!("{}:{}, mode {:04o}", self.user(found.uid()), self.group(found.gid()), found.mode() & 0o7777)
    }
}

impl Person {
    /// Whether the mode of a file grants this (`path_resolution(7)`); what access control lists say is not known.
    pub(super) fn may(&self, wanted: u32, found: &fs::Metadata) -> bool {
        let class = if self.uid == found.uid() {
            6
        } else if self.groups.contains(&found.gid()) {
            3
        } else {
            0
        };
        self.uid == 0 || (found.mode() >> class) & wanted == wanted
    }

    /// The first of a path's directories that this user may not enter.
    pub(super) fn stopped_at<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let mut above: Vec<_> = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        above.into_iter().find(|path| fs::metadata(path).is_ok_and(|found| !self.may(SEARCH, &found)))
    }
}

fn named(database: &str, id: u32) -> String {
    let is_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse::<u32>().ok()) == Some(id);
    let line = database.lines().find(is_it).and_then(|line| line.split(':').next());
    line.map_or_else(|| id.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_groups_of_both_files_and_of_its_service() {
        let who = Who {
            passwd: "root:x:0:0::/root:/bin/sh\nhotcert:x:990:991::/:/bin/false\n".to_owned(),
            group: "root:x:0:\nhotcert:x:991:\nssl:x:7:a,hotcert\nhaproxy:x:99:\nother:x:8:hotcertx\n".to_owned(),
        };
        let person = who.person("hotcert", &["haproxy".to_owned()]).unwrap();
        assert_eq!(person, Person { uid: 990, groups: BTreeSet::from([991, 7, 99]) });
        assert_eq!((who.user(990).as_str(), who.group(99).as_str(), who.user(5).as_str()), ("hotcert", "haproxy", "5"));
        assert_eq!(who.person("nobody", &[]), None);
    }
}
