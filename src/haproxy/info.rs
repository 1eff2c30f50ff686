//! Who answers: version, process, level, and what follows from them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::limit::PayloadLimit;
use crate::model::Invalid;

/// What one worker said about itself when the session was opened (management guide, `show info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Process id of the worker. Together with [`Info::started_at`] it tells one process from the next.
    pub pid: u32,
    /// Its version.
    pub version: Version,
    /// When it started, to the second; `None` below 2.4, which does not tell.
    pub started_at: Option<Timestamp>,
    /// Whether it is going away: after a reload, an old worker finishes its connections.
    pub stopping: bool,
    /// What the socket may do.
    pub level: Level,
    /// The longest command it takes.
    pub payload_limit: PayloadLimit,
}

impl Info {
    /// What the version can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::of(&self.version)
    }
}

/// The level of a stats socket (configuration manual, `stats socket`, `level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Statistics only.
    User,
    /// All that reads.
    Operator,
    /// Everything.
    Admin,
}

impl Level {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "user" => Some(Self::User),
            "operator" => Some(Self::Operator),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// A version such as `2.6.12-1+deb12u3` or `3.5-dev5`; ordered by its numbers, a development version counts as patch 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major and minor number, which name a branch.
    pub branch: (u16, u16),
    /// Number of the release within its branch.
    pub patch: u16,
    text: String,
}

impl FromStr for Version {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let numbers = text.split(['-', '+', ' ']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(str::parse);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), patch)
                if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Self {
                    branch: (major, minor),
                    patch: patch.and_then(Result::ok).unwrap_or(0),
                    text: text.to_owned(),
                })
            }
            _ => Err(Invalid::new("HAProxy version", text, "it does not begin with two numbers")),
        }
    }
}

impl Version {
    /// The oldest branch that can be used: certificates are made and attached at runtime since then (management guide of 2.2,
    /// `new ssl cert` and `add ssl crt-list`).
    pub const OLDEST: (u16, u16) = (2, 2);

    /// Whether it has what is needed.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        self.branch >= Self::OLDEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What differs between versions, as far as sessions use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own, not a state")]
pub struct Capabilities {
    /// `show ssl sni` lists which certificate answers for which name (3.2).
    pub sni_listing: bool,
    /// A `set` never lands in a transaction about another certificate. Below 2.8 it can, so there each answer is read before anything
    /// is committed (seen on 2.6.12, not on 2.8.25).
    pub keeps_transactions_apart: bool,
    /// `set ssl cert` takes the ending `.crt` for a part of a certificate, so that it must be written twice (seen on 2.6.12,
    /// not on 2.8.25; up to 2.5 there is no such part in `cert_exts` of its source).
    pub crt_is_a_suffix: bool,
    /// `show ssl cert NAME.ocsp` tells what is stapled to a certificate (2.5).
    pub shows_staples: bool,
    /// A description longer than a buffer is cut. Before, `HAProxy` *aborts* over some of them (seen on 2.6.12, not on 2.8.25).
    pub long_descriptions: bool,
    /// A `ca-file` or `crl-file` may be committed. Without the fix for dangling instances (mainline 7482b6ebf), later commits of
    /// certificates succeed in words alone, and the next one of such a file kills `HAProxy` (seen on 2.6.12 and 3.0.11, not on 2.8.25
    /// and 3.2.26; the releases with the fix by their change logs).
    pub client_files: bool,
    /// `add ssl ca-file` takes a `ca-file` in parts (2.7).
    pub ca_file_parts: bool,
    /// `dump ssl cert` shows a certificate with its key (3.1).
    pub dump: bool,
}

/// The first releases of stable branches that are known to have the fix for dangling instances, in words.
pub const CLIENT_FILES_SINCE: &str = "2.8.18, 3.2.8 or 3.3";

impl Capabilities {
    pub(super) fn of(version: &Version) -> Self {
        Self {
            sni_listing: version.branch >= (3, 2),
            keeps_transactions_apart: version.branch >= (2, 8),
            crt_is_a_suffix: (2, 6) <= version.branch && version.branch < (2, 8),
            shows_staples: version.branch >= (2, 5),
            long_descriptions: version.branch >= (2, 8),
            client_files: match version.branch {
                (2, 8) => version.patch >= 18,
                (3, 2) => version.patch >= 8,
                (3, 3) => !version.text.starts_with("3.3-dev"),
                branch => branch > (3, 3),
            },
            ca_file_parts: version.branch >= (2, 7),
            dump: version.branch >= (3, 1),
        }
    }
}

/// Which worker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: Version,
    /// When it started, to the second; `None` below 2.4, which does not tell.
    pub started_at: Option<Timestamp>,
    /// Whether it is going away.
    pub stopping: bool,
}

impl Process {
    /// Reads the fields of `show info` that matter; `None` when one of them is missing, so that it is not `HAProxy`.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let field = |name| field(reply, name);
        Some(Self {
            pid: field("Pid")?.parse().ok()?,
            version: field("Version")?.parse().ok()?,
            started_at: field("Start_time_sec")
                .and_then(|seconds| seconds.parse().ok())
                .and_then(|seconds| Timestamp::from_second(seconds).ok()),
            stopping: field("Stopping")? != "0",
        })
    }
}

/// A field of `show info`.
pub(super) fn field<'a>(show_info: &'a str, name: &str) -> Option<&'a str> {
    show_info.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_whatever_follows() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version("2.6.12-1+deb12u3").branch, (2, 6));
        assert_eq!(version("2.6.12-1+deb12u3").patch, 12);
        assert_eq!(version("3.5-dev5-abcdef").branch, (3, 5));
        assert!(version("2.8.25-5cf5d0683") < version("3.0.1"));
        assert_eq!(version("3.5-dev5").to_string(), "3.5-dev5");
        for bad in ["", "3", "three.two", "HAProxy 3.2", "3.2.1 x"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn show_info_tells_one_process_from_the_next() {
        let reply = "Name: HAProxy\nVersion: 2.6.12-1+deb12u3\nProcess_num: 1\nPid: 14078\nUptime_sec: 0\nStopping: 1\nStart_time_sec: 1795369036\n";
        let process = Process::parse(reply).unwrap();
        assert_eq!(process.pid, 14078);
        assert_eq!(process.started_at.unwrap().as_second(), 1_795_369_036);
        let older = Process::parse(&reply.replace("Start_time_sec: 1795369036\n", "")).unwrap();
        assert_eq!((older.pid, older.started_at), (14078, None));
        assert!(process.stopping);
        assert!(Process::parse("Unknown command").is_none());
        assert!(Process::parse(&reply.replace("Pid: ", "Pid: x")).is_none());
    }

    #[test]
    fn what_a_version_can_do_follows_from_its_number() {
        let of = |text: &str| Capabilities::of(&text.parse().unwrap());
        let is_supported = |text: &str| text.parse::<Version>().unwrap().is_supported();
        assert!(!is_supported("1.8.30") && !is_supported("2.0.35") && !is_supported("2.1.12"));
        assert!(is_supported("2.2.0") && is_supported("2.10.1") && is_supported("3.5-dev5"));
        for old in ["2.2.33", "2.4.30", "2.5.14"] {
            assert!(
                !of(old).crt_is_a_suffix && !of(old).keeps_transactions_apart && !of(old).long_descriptions,
                "{old}"
            );
        }
        assert!(of("2.6.12").crt_is_a_suffix && !of("2.6.12").keeps_transactions_apart);
        assert!(!of("2.8.25").crt_is_a_suffix && of("2.8.25").keeps_transactions_apart);
        assert!(!of("3.0.11").sni_listing && of("3.2.26").sni_listing);
    }

    #[test]
    fn client_files_are_committed_only_where_that_is_known_to_be_safe() {
        let safe = |text: &str| Capabilities::of(&text.parse().unwrap()).client_files;
        for version in ["2.8.18", "2.8.25-5cf5d0683", "3.2.8", "3.2.26-1", "3.3.0", "3.4.3", "3.5-dev5"] {
            assert!(safe(version), "{version}");
        }
        for version in ["2.4.30", "2.6.12-1+deb12u3", "2.8.17", "3.0.11-1+deb13u3", "3.1.9", "3.2.7", "3.3-dev10"] {
            assert!(!safe(version), "{version}");
        }
    }
}
