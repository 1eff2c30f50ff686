//! What reading commands answer, as types.
//!
//! Other programs load certificates too, so nothing that `HAProxy` lists makes reading fail: names that are no [`Slot`] are kept as
//! text, fields that are missing or strange are left out.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::command::listed;
use crate::model::{Facts, Identifier, KeyKind, Serial, Sha1, Slot};

/// The name of a certificate in `HAProxy`, whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// One that hotcert can speak of.
    Slot(Slot),
    /// One that it cannot, for example because it contains a blank.
    Foreign(String),
}

impl Name {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Foreign(text.to_owned()), Self::Slot)
    }

    /// The slot, where it is one.
    #[must_use]
    pub fn slot(&self) -> Option<&Slot> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Foreign(_) => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => slot.fmt(f),
            Self::Foreign(text) => f.write_str(&super::reply::sanitised(text)),
        }
    }
}

/// All certificates of a process (`show ssl cert`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificates {
    /// Their names.
    pub names: BTreeSet<Name>,
    /// What the open transaction is about. It belongs to the process, has no owner, and outlives connections.
    pub open: Option<Name>,
}

impl Certificates {
    /// Whether a slot is there, empty or not.
    #[must_use]
    pub fn contains(&self, slot: &Slot) -> bool {
        self.names.contains(&Name::Slot(slot.clone()))
    }

    pub(super) fn parse(reply: &str) -> Self {
        let mut found = Self::default();
        for line in reply.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            match line.strip_prefix('*') {
                Some(name) => found.open = Some(Name::of(name)),
                None => _ = found.names.insert(Name::of(line)),
            }
        }
        found
    }
}

/// The state of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is attached to a bind or a server.
    Used,
    /// It has a certificate that nothing uses; in a transaction also the one to be committed (up to 3.1).
    Unused,
    /// It has no certificate.
    Empty,
    /// It is the content of the open transaction (3.2).
    Uncommitted,
    /// Another one.
    Unknown,
}

/// What a slot holds (`show ssl cert NAME`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// State of the slot.
    pub status: Status,
    /// Its certificate; `None` when it is empty.
    pub leaf: Option<Leaf>,
    /// Subject and issuer of each intermediate that was loaded with it.
    pub chain: Vec<(String, String)>,
}

/// A certificate, as far as `HAProxy` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Serial number.
    pub serial: Serial,
    /// SHA-1 fingerprint; `None` for a certificate of so many names that `HAProxy` cuts its description. The chain is lost then, too.
    pub sha1: Option<Sha1>,
    /// Start of validity.
    pub not_before: Option<Timestamp>,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// DNS names of the subject alternative names; the common name where there are none. `HAProxy` shows no IP addresses.
    pub names: BTreeSet<Identifier>,
    /// Algorithm of its key; `None` when it is neither ECDSA nor RSA, or the description is cut before it.
    pub kind: Option<KeyKind>,
    /// Subject, OpenSSL style: `/CN=example.org`.
    pub subject: String,
    /// Issuer, OpenSSL style.
    pub issuer: String,
}

/// More than the longest line after the names has in a description: `HAProxy` shows 256 bytes of a subject.
pub(super) const LONGEST_LINE: usize = 512;

impl Loaded {
    /// Whether it is the certificate with these facts, with as many intermediates. (An intermediate that was exchanged for
    /// another of the same length goes unnoticed: `HAProxy` shows no fingerprint of it.)
    #[must_use]
    pub fn is(&self, facts: &Facts) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| {
            leaf.serial == facts.serial
                && leaf.sha1.is_none_or(|sha1| sha1 == facts.sha1 && self.chain.len() == facts.chain_length)
        })
    }

    /// Reads the reply; `None` when it is no description of a certificate. One that about fills a buffer lacks some lines.
    pub(super) fn parse(reply: &str, bufsize: usize) -> Option<Self> {
        let cut = reply.len() + LONGEST_LINE > bufsize;
        let fields: Vec<(&str, &str)> = reply.lines().filter_map(|line| line.split_once(": ")).collect();
        let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let status = match field("Status")? {
            "Used" => Status::Used,
            "Unused" => Status::Unused,
            "Empty" => Status::Empty,
            "Uncommitted" => Status::Uncommitted,
            _ => Status::Unknown,
        };
        let leaf = field("Serial").and_then(|serial| serial.parse().ok()).map(|serial| Leaf {
            serial,
            sha1: field("SHA1 FingerPrint").filter(|_| !cut).and_then(|text| text.parse().ok()),
            not_before: field("notBefore").and_then(date),
            not_after: field("notAfter").and_then(date),
            names: names(field("Subject Alternative Name"), field("Subject")),
            kind: field("Algorithm").and_then(kind),
            subject: field("Subject").unwrap_or_default().to_owned(),
            issuer: field("Issuer").unwrap_or_default().to_owned(),
        });
        let all =
            |name: &'static str| fields.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.to_string());
        // A chain out of `issuers-chain-path` is not a part of the slot.
        let chain = match field("Chain Filename") {
            None if !cut => all("Chain Subject").zip(all("Chain Issuer")).collect(),
            _ => Vec::new(),
        };
        Some(Self { status, leaf, chain })
    }
}

/// `Nov 21 14:59:03 2026 GMT`, days below ten after two blanks.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parsed = strtime::parse("%b %d %H:%M:%S %Y GMT", plain).ok()?;
    parsed.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `EC256`, `RSA2048`.
fn kind(algorithm: &str) -> Option<KeyKind> {
    if algorithm.starts_with("EC") {
        Some(KeyKind::Ecdsa)
    } else {
        algorithm.starts_with("RSA").then_some(KeyKind::Rsa)
    }
}

fn names(alternative: Option<&str>, subject: Option<&str>) -> BTreeSet<Identifier> {
    let listed: BTreeSet<_> = alternative
        .into_iter()
        .flat_map(|text| text.split(", "))
        .filter_map(|name| name.strip_prefix("DNS:")?.parse().ok())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    subject
        .into_iter()
        .flat_map(|text| text.split('/'))
        .filter_map(|part| part.strip_prefix("CN=")?.parse().ok())
        .collect()
}

/// One line of a crt-list (`show ssl crt-list -n LIST`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The certificate.
    pub name: Name,
    /// Line number. 0 for what a directory had at the start; numbers change with other lines, so read again before detaching.
    pub line: u32,
    /// Options without brackets; empty when there are none.
    pub options: String,
    /// SNI filters, in their order.
    pub filters: Vec<String>,
}

impl Entry {
    pub(super) fn parse_all(reply: &str) -> Vec<Self> {
        reply.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        // 2.6 to 3.2 leave the end of a C string among the options.
        let line = line.replace('\0', "");
        let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (name, number) = first.rsplit_once(':')?;
        let (options, filters) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, filters)) => (options.trim(), filters),
            None => ("", rest),
        };
        Some(Self {
            name: Name::of(name),
            line: number.parse().ok()?,
            options: options.to_owned(),
            filters: filters.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        })
    }
}

/// What a crt-list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// A certificate directory: entries have no options, and lie right below it.
    Directory,
    /// A crt-list file.
    File,
    /// The `ssl-f-use` lines of a frontend (3.2).
    Frontend,
    /// It cannot be told from the replies: it is empty, or holds only what came since the start.
    Unknown,
}

impl ListKind {
    /// Decides by what only one kind has: line 0 is what a directory had at the start, options and filters and paths from
    /// elsewhere are what only a file has.
    #[must_use]
    pub fn of(list: &Slot, entries: &[Entry]) -> Self {
        let directory = listed(list);
        let below = |entry: &Entry| match &entry.name {
            Name::Slot(slot) => slot.as_str().rsplit_once('/').is_some_and(|(parent, _)| parent == directory),
            Name::Foreign(_) => false,
        };
        if list.as_str().starts_with('@') {
            Self::Frontend
        } else if entries.iter().any(|entry| entry.line == 0) {
            Self::Directory
        } else if entries.iter().any(|entry| !entry.options.is_empty() || !entry.filters.is_empty() || !below(entry)) {
            Self::File
        } else {
            Self::Unknown
        }
    }
}

/// One line of `show ssl sni` (3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sni {
    /// `FRONTEND/FILE:LINE` of the bind.
    pub bind: String,
    /// Name that clients ask for, possibly a wildcard; `*` is the default.
    pub sni: String,
    /// Kind of its key; `None` when it is neither ECDSA nor RSA.
    pub kind: Option<KeyKind>,
    /// The certificate that answers. Of several lines with the same bind, name and kind the first one is served (seen on 3.2.26).
    pub name: Name,
}

impl Sni {
    pub(super) fn parse_all(reply: &str) -> Vec<Self> {
        reply.lines().filter(|line| !line.starts_with("# ")).filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let (bind, sni) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let kind = KeyKind::ALL.into_iter().find(|kind| fields.clone().nth(1) == Some(kind.as_str()));
        Some(Self { bind, sni, kind, name: Name::of(fields.nth(2)?) })
    }
}

/// The entries of a map, in their order (`show map MAP`): a reference, a key, a value.
pub(super) fn map_entries(reply: &str) -> Vec<(String, String)> {
    reply
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.split_once(' '))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
