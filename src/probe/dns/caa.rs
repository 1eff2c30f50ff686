//! Which authorities a name admits (RFC 8659), and on what conditions (RFC 8657).

use std::fmt;

use hickory_proto::rr::{RData, RecordType};

use super::{Error, Resolver, plain};
use crate::model::{ChallengeKind, DnsName, IssueValue};

/// Tags that restrict nothing that we ask for, so that a critical one of them is no hindrance (registry of CAA properties).
const OF_NO_CONCERN: [&str; 5] = ["iodef", "contactemail", "contactphone", "issuemail", "issuevmc"];

/// The CAA records that count for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaaSet {
    /// Where they are: at the name, at one above it, or where an alias of these leads.
    pub at: DnsName,
    /// The records.
    pub records: Vec<Caa>,
}

/// A CAA record. `Display` is how it stands in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caa {
    /// Whether an authority that does not know the tag has to refuse.
    pub is_critical: bool,
    /// The tag in lower case, such as `issue`.
    pub tag: String,
    /// The value; control characters, and what is no text, are replaced.
    pub value: String,
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The names by which records name the authority (`caaIdentities`; RFC 8555, section 9.7.6).
    pub identities: &'a [String],
    /// The URL of the account, where there is one.
    pub account: Option<&'a str>,
    /// By which challenge the name is proved.
    pub kind: ChallengeKind,
    /// Whether the certificate is for a wildcard.
    pub is_wildcard: bool,
}

/// Why records forbid it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden<'a> {
    /// The records at fault.
    pub records: Vec<&'a Caa>,
    /// What they do, in words.
    pub reason: &'static str,
    /// A record that would allow it, beside them.
    pub cure: Option<Caa>,
}

impl Resolver {
    /// The CAA records that count for a name: its own, or those of the nearest name above that has any (RFC 8659, section 3).
    pub async fn caa(&self, name: &DnsName) -> Result<Option<CaaSet>, Error> {
        let mut candidate = Some(name.clone());
        while let Some(asked) = candidate {
            let found = self.records(&asked, RecordType::CAA).await?;
            let records: Vec<_> = found.records.iter().filter_map(Caa::of).collect();
            if !records.is_empty() {
                return Ok(Some(CaaSet { at: found.name, records }));
            }
            candidate = asked.parent();
        }
        Ok(None)
    }
}

impl CaaSet {
    /// Whether the records forbid what is asked for.
    #[must_use]
    pub fn forbids(&self, asking: &Asking<'_>) -> Option<Forbidden<'_>> {
        let known = |tag: &str| ["issue", "issuewild"].contains(&tag) || OF_NO_CONCERN.contains(&tag);
        let strange: Vec<_> = self.records.iter().filter(|caa| caa.is_critical && !known(&caa.tag)).collect();
        if !strange.is_empty() {
            let reason = "they have a critical property that authorities do not know";
            return Some(Forbidden { records: strange, reason, cure: None });
        }
        let tagged = |tag| self.records.iter().filter(|caa| caa.tag == tag).collect::<Vec<_>>();
        // Where there is one for wildcards, the others do not count for them (RFC 8659, section 4.3).
        let wild = if asking.is_wildcard { tagged("issuewild") } else { Vec::new() };
        let records = if wild.is_empty() { tagged("issue") } else { wild };
        if records.is_empty() {
            return None;
        }
        let mut reason = "they name other authorities, or none";
        let mut parameter = String::new();
        for value in records.iter().filter_map(|caa| IssueValue::parse(&caa.value)) {
            if !value.names_one_of(asking.identities) {
                continue;
            }
            // An account that is yet to be made has no URL to compare.
            let is_other = |url: &&str| asking.account.is_some_and(|account| account != *url);
            let is_method = |methods: &str| methods.split(',').any(|method| method == asking.kind.as_str());
            match (value.parameter("accounturi").filter(is_other), value.parameter("validationmethods")) {
                (Some(_), _) => {
                    reason = "they name another account (accounturi)";
                    parameter = asking.account.map(|account| format!("; accounturi={account}")).unwrap_or_default();
                }
                (_, Some(methods)) if !is_method(methods) => {
                    reason = "they name other kinds of challenge (validationmethods)";
                    parameter = format!("; validationmethods={}", asking.kind);
                }
                _ => return None,
            }
        }
        let cure = asking.identities.first().map(|identity| Caa {
            is_critical: false,
            tag: records[0].tag.clone(),
            value: format!("{identity}{parameter}"),
        });
        Some(Forbidden { records, reason, cure })
    }
}

impl Caa {
    fn of(data: &RData) -> Option<Self> {
        let RData::CAA(caa) = data else { return None };
        let tag = plain(caa.tag.as_bytes()).to_ascii_lowercase();
        Some(Self { is_critical: caa.issuer_critical, tag, value: plain(&caa.value) })
    }
}

impl fmt::Display for Caa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.is_critical { 128 } else { 0 };
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "CAA {flags} {} \"{value}\"", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.test/acct/1";

    fn forbidden(records: &[(&str, &str)], is_wildcard: bool) -> Option<&'static str> {
        let record = |(tag, value): &(&str, &str)| {
            let (is_critical, tag) = tag.strip_prefix('!').map_or((false, *tag), |tag| (true, tag));
            Caa { is_critical, tag: tag.to_owned(), value: (*value).to_owned() }
        };
        let set = CaaSet { at: "a.test".parse().unwrap(), records: records.iter().map(record).collect() };
        let identities = ["ca.test".to_owned(), "ca.example".to_owned()];
        let kind = ChallengeKind::Http01;
        let asking = Asking { identities: &identities, account: Some(ACCOUNT), kind, is_wildcard };
        set.forbids(&asking).map(|forbidden| forbidden.reason)
    }

    #[test]
    fn one_record_that_names_the_authority_is_enough() {
        assert_eq!(forbidden(&[("issue", "other.test"), ("issue", " CA.example ; a=b")], false), None);
        assert!(forbidden(&[("issue", "other.test")], false).unwrap().contains("other"));
        assert!(forbidden(&[("issue", ";")], false).is_some());
        assert!(forbidden(&[("issue", "ca.test; what")], false).is_some(), "it is against the grammar");
        assert_eq!(forbidden(&[("iodef", "mailto:a@a.test"), ("!contactemail", "x")], false), None);
        assert!(forbidden(&[("!strange", "x")], false).unwrap().contains("critical"));
        assert_eq!(forbidden(&[("strange", "x")], false), None);
    }

    #[test]
    fn wildcards_have_records_of_their_own() {
        assert!(forbidden(&[("issue", "ca.test"), ("issuewild", ";")], true).is_some());
        assert_eq!(forbidden(&[("issue", "ca.test"), ("issuewild", ";")], false), None);
        assert_eq!(forbidden(&[("issue", ";"), ("issuewild", "ca.test")], true), None);
        assert!(forbidden(&[("issue", "other.test")], true).is_some());
        assert_eq!(forbidden(&[("issuewild", ";")], false), None);
    }

    #[test]
    fn accounts_and_kinds_of_challenge_are_compared() {
        let one = |parameters: &str| forbidden(&[("issue", &format!("ca.test; {parameters}"))], false);
        assert_eq!(one("accounturi=https://ca.test/acct/1; validationmethods=dns-01,http-01"), None);
        assert!(one("accounturi=https://ca.test/acct/2").unwrap().contains("account"));
        assert!(one("validationmethods=dns-01").unwrap().contains("validationmethods"));
    }

    #[test]
    fn a_record_is_shown_as_it_stands_in_a_zone() {
        let caa = Caa { is_critical: true, tag: "issue".to_owned(), value: "a\"b\\".to_owned() };
        assert_eq!(caa.to_string(), r#"CAA 128 issue "a\"b\\""#);
    }
}
