//! What a check says: pure data, which the command line puts into lines.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::{causes, printable};

/// The most that a line of a finding has, in characters: foreign texts may be in it.
const LINE: usize = 2000;

macro_rules! checks {
    ($($(#[$doc:meta])+ $check:ident = $name:literal,)+) => {
        /// What is looked at. The names are part of the contract with scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $($(#[$doc])+ $check,)+
        }

        impl Check {
            /// Every check, in the order in which findings are told.
            pub const ALL: &[Self] = &[$(Self::$check,)+];

            /// The name, as in `crt-dir`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$check => $name,)+
                }
            }
        }
    };
}

checks! {
    /// The configuration: what in it has no effect, and files that it names and that cannot be read.
    Configuration = "configuration",
    /// The state directory: modes, owners, what can be read, what a crash left.
    StateDir = "state-dir",
    /// Room on the disks.
    DiskSpace = "disk-space",
    /// Whether a daemon works on the state directory.
    Daemon = "daemon",
    /// The service: as whom it runs, and whether that user may do its work.
    Service = "service",
    /// The stats sockets: that they exist, may be opened, have the level admin, and answer.
    Socket = "socket",
    /// The master sockets.
    MasterSocket = "master-socket",
    /// The version of `HAProxy`, with the faults of it that matter here.
    Version = "version",
    /// Whether the largest bundle fits through the runtime API.
    Payload = "payload",
    /// The certificate directory: mode, owner, whether it can be written to, what a crash left.
    CrtDir = "crt-dir",
    /// Whether hotcert and `HAProxy` mean the same by their paths.
    Paths = "paths",
    /// What a restart of `HAProxy` would load, against what it serves.
    Restart = "restart",
    /// Certificate transactions that are open.
    Transaction = "transaction",
    /// Workers that were left by reloads.
    OldWorkers = "old-workers",
    /// Other processes that accept connections where a node does.
    Twins = "twins",
    /// Whether what is stored is what is served.
    Served = "served",
    /// When certificates expire, stored and in memory.
    Expiry = "expiry",
    /// How renewals stand.
    Renewal = "renewal",
    /// Whether the authorities can be reached.
    Authority = "authority",
    /// The clock of this machine against that of the authorities.
    Clock = "clock",
    /// How much may still be asked of the authorities.
    Budget = "budget",
    /// The addresses of the names.
    Dns = "dns",
    /// The CAA records of the names.
    Caa = "caa",
    /// The road of http-01: plain HTTP on port 80.
    Http01 = "http-01",
    /// The road of tls-alpn-01: a handshake on port 443.
    TlsAlpn01 = "tls-alpn-01",
    /// The road of dns-01: a record in the DNS.
    Dns01 = "dns-01",
    /// Service units that reload `HAProxy` for the sake of certificates.
    ReloadUnits = "reload-units",
    /// Other renewal jobs, in cron and in hooks, that reload `HAProxy`.
    RenewalJobs = "renewal-jobs",
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and somebody should look at it.
    Look,
    /// Something that hotcert is there for does not work because of it.
    Broken,
}

/// What one check says about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub name: Check,
    /// What it is about: a node, a path, a name.
    pub subject: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// Why it is so, or why it matters; `None` when it is good.
    pub cause: Option<String>,
    /// What to do about it, maybe over several lines; `None` when it is good.
    pub cure: Option<String>,
}

impl Finding {
    /// Something is as it should be.
    pub fn good(name: Check, subject: impl fmt::Display, message: impl Into<String>) -> Self {
        Self::new(name, &subject, Verdict::Good, message, None)
    }

    /// Something should be looked at.
    pub fn look(
        name: Check,
        subject: impl fmt::Display,
        message: impl Into<String>,
        cause: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(name, &subject, Verdict::Look, message, Some((cause.into(), cure.into())))
    }

    /// Something does not work.
    pub fn broken(
        name: Check,
        subject: impl fmt::Display,
        message: impl Into<String>,
        cause: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(name, &subject, Verdict::Broken, message, Some((cause.into(), cure.into())))
    }

    /// An error with its causes: it does not work, for the first of these.
    pub fn error(
        name: Check,
        subject: impl fmt::Display,
        error: &dyn std::error::Error,
        otherwise: &str,
        cure: impl Into<String>,
    ) -> Self {
        let causes = causes(error).join(": ");
        Self::broken(name, subject, error.to_string(), if causes.is_empty() { otherwise } else { &causes }, cure)
    }

    fn new(
        name: Check,
        subject: &dyn fmt::Display,
        verdict: Verdict,
        message: impl Into<String>,
        why: Option<(String, String)>,
    ) -> Self {
        let (cause, cure) = why.map_or((None, None), |(cause, cure)| (Some(plain(&cause)), Some(plain(&cure))));
        Self { name, subject: plain(&subject.to_string()), verdict, message: plain(&message.into()), cause, cure }
    }
}

/// Lines without anything that drives a terminal.
fn plain(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(|line| printable(line, LINE)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_in_a_finding_drives_no_terminal_and_a_cure_keeps_its_lines() {
        let finding = Finding::look(Check::CrtDir, "a\u{1b}[2Jb", "m\r", "c\u{202e}", "one\n  two\n\n");
        assert_eq!((finding.subject.as_str(), finding.message.as_str()), ("a[2Jb", "m"));
        assert_eq!(finding.cause.as_deref(), Some("c"));
        assert_eq!(finding.cure.as_deref(), Some("one\n  two"));
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
        );
    }
}
