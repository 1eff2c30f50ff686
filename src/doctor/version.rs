//! The version of `HAProxy`: faults of it that matter here, and whether its branch is still maintained.

use jiff::Timestamp;
use jiff::civil::{Date, date};

use super::{Check, Finding};
use crate::config::Node;
use crate::haproxy::{CLIENT_FILES_SINCE, Info, Version};

/// When the maintenance of each branch ends (haproxy.org, the table of versions: "end of life" is given by quarter, of which this is the
/// last day). Branches that are not listed are newer than this table.
const END_OF_LIFE: [((u16, u16), Date); 12] = [
    ((2, 2), date(2025, 6, 30)),
    ((2, 3), date(2022, 3, 31)),
    ((2, 4), date(2026, 6, 30)),
    ((2, 5), date(2023, 3, 31)),
    ((2, 6), date(2027, 6, 30)),
    ((2, 7), date(2024, 3, 31)),
    ((2, 8), date(2028, 6, 30)),
    ((2, 9), date(2025, 3, 31)),
    ((3, 0), date(2029, 6, 30)),
    ((3, 1), date(2026, 3, 31)),
    ((3, 2), date(2030, 6, 30)),
    ((3, 3), date(2027, 3, 31)),
];

/// A fault of some versions, in a few words, for which hotcert provides.
struct Fault {
    text: &'static str,
    has: fn(&Info) -> bool,
}

/// The faults that matter here (seen on 2.6.12, 2.8.25, 3.0.11, 3.2.26 and 3.5-dev5), and what is done about them: commands about as
/// long as a buffer are not sent, or padded; only one is under way at a time, and names in answers are compared; certificates of
/// hundreds of names are not asked about; intermediates are parsed before they are sent.
const FAULTS: [Fault; 5] = [
    Fault { text: "an abort by a command as long as a buffer", has: |info| info.version.branch < (3, 0) },
    Fault { text: "a hang by a command as long as a buffer", has: |info| info.payload_limit.long_payloads },
    Fault { text: "certificates in another's transaction", has: |info| !info.capabilities().keeps_transactions_apart },
    Fault { text: "an abort by descriptions longer than a buffer", has: |info| !info.capabilities().long_descriptions },
    Fault { text: "intermediates that are lost without a word", has: |info| info.version.branch < (2, 8) },
];

/// What the version of a node means.
pub(super) fn check(node: &Node, info: &Info, now: Timestamp) -> Vec<Finding> {
    let version = &info.version;
    let mut findings = Vec::new();
    let mut look = |message: String, cause: &str, cure: &str| {
        findings.push(Finding::look(Check::Version, &node.name, message, cause, cure));
    };
    if version.to_string().contains("-dev") {
        look(
            format!("HAProxy {version} is a development version"),
            "it was not released, and nobody mends it",
            "install a release: those of https://www.haproxy.org/ and https://haproxy.debian.net/ are maintained",
        );
    }
    if let Some(end) = end_of_life(version).filter(|end| now.to_zoned(jiff::tz::TimeZone::UTC).date() > *end) {
        look(
            format!("HAProxy {version} is of a branch that is not maintained any more"),
            &format!(
                "maintenance of {}.{} has ended on {end}, but for what a distribution does itself",
                version.branch.0, version.branch.1
            ),
            "upgrade to a branch with long-term support, such as 3.2; certificates and hotcert's configuration stay as they are",
        );
    }
    if node.client_files().next().is_some() && !info.capabilities().client_files {
        look(
            format!("HAProxy {version} cannot be given new client authorities or revocation lists while it runs"),
            "after such a change it keeps old certificates in words alone, and the next change kills it; so hotcert changes none of them",
            &format!("upgrade to {CLIENT_FILES_SINCE}, or reload HAProxy whenever ca_files or crl_files change"),
        );
    }
    if findings.is_empty() {
        let faults: Vec<_> = FAULTS.iter().filter(|fault| (fault.has)(info)).map(|fault| fault.text).collect();
        let until = end_of_life(version).map_or_else(String::new, |end| format!(" until {end}"));
        let provided = match &faults[..] {
            [] => "it has no known fault that matters here".to_owned(),
            faults => format!("its known faults are provided for: {}", faults.join(", ")),
        };
        let message = format!("HAProxy {version} is maintained{until}; {provided}");
        findings.push(Finding::good(Check::Version, &node.name, message));
    }
    findings
}

fn end_of_life(version: &Version) -> Option<Date> {
    END_OF_LIFE.iter().find(|(branch, _)| *branch == version.branch).map(|(_, end)| *end)
}
