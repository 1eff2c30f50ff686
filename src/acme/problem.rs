//! Problem documents (RFC 7807; RFC 8555, section 6.7).

use std::fmt;

use serde::Deserialize;

use super::order::Named;
pub(super) use crate::model::sanitised;
use crate::model::{Identifier, printable};

/// Names of which a refusal tells the reason: as many as a certificate has.
const SUBPROBLEMS: usize = 100;

/// Longest explanation of what is wrong with one name, in characters, lest a hundred of them flood a terminal.
const SUBPROBLEM_SHOWN: usize = 300;

/// Longest error type, in characters.
const KIND_SHOWN: usize = 100;

/// What to do when an authority does not see what we show: it has told what it saw.
pub(super) const UNPROVED: &str = "it has to see what this machine shows: is the way there open to the whole internet (port 80 for \
     http-01, port 443 for tls-alpn-01), and does every server of the zone have the record (dns-01)?";

/// The prefix of error types (RFC 8555, section 6.7).
const URN: &str = "urn:ietf:params:acme:error:";

/// A refusal in the authority's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The error type without its prefix, such as `rejectedIdentifier`; `unknown` when there is none.
    pub kind: String,
    /// The explanation.
    pub detail: String,
    /// What is wrong with each name (RFC 8555, section 6.7.1).
    pub subproblems: Vec<Subproblem>,
}

/// What is wrong with one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subproblem {
    /// The name, where it is told and is one.
    pub identifier: Option<Identifier>,
    /// The error type without its prefix.
    pub kind: String,
    /// The explanation.
    pub detail: String,
}

#[derive(Deserialize)]
struct Document {
    r#type: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    subproblems: Vec<SubDocument>,
}

#[derive(Deserialize)]
struct SubDocument {
    r#type: Option<String>,
    detail: Option<String>,
    identifier: Option<Named>,
}

impl Problem {
    /// Reads a problem document; `None` when it is none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        if document.r#type.is_none() && document.detail.is_none() {
            return None;
        }
        Some(Self {
            kind: kind(document.r#type.as_deref()),
            detail: sanitised(&document.detail.unwrap_or_default()),
            subproblems: document
                .subproblems
                .into_iter()
                .take(SUBPROBLEMS)
                .map(|sub| Subproblem {
                    identifier: sub.identifier.and_then(|named| named.value.parse().ok()),
                    kind: kind(sub.r#type.as_deref()),
                    detail: printable(&sub.detail.unwrap_or_default(), SUBPROBLEM_SHOWN),
                })
                .collect(),
        })
    }

    pub(super) fn from_library(problem: &instant_acme::Problem) -> Self {
        Self {
            kind: kind(problem.r#type.as_deref()),
            detail: sanitised(problem.detail.as_deref().unwrap_or_default()),
            subproblems: problem
                .subproblems
                .iter()
                .take(SUBPROBLEMS)
                .map(|sub| Subproblem {
                    identifier: sub
                        .identifier
                        .as_ref()
                        .and_then(|name| name.authorized(false).to_string().parse().ok()),
                    kind: kind(sub.r#type.as_deref()),
                    detail: printable(sub.detail.as_deref().unwrap_or_default(), SUBPROBLEM_SHOWN),
                })
                .collect(),
        }
    }

    /// Whether the same request will be refused again, until somebody changes something.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "badCSR"
                | "badPublicKey"
                | "badSignatureAlgorithm"
                | "invalidContact"
                | "invalidProfile"
                | "malformed"
                | "rejectedIdentifier"
                | "unsupportedContact"
                | "unsupportedIdentifier"
                | "userActionRequired"
        )
    }

    pub(super) fn hint(&self) -> &'static str {
        match self.kind.as_str() {
            "rejectedIdentifier" | "unsupportedIdentifier" => {
                "the authority does not issue for one of the names: take it out, or choose another authority"
            }
            "invalidContact" | "unsupportedContact" => "contact is a mail address, such as admin@example.org",
            "invalidProfile" => "leave profile out, or choose one that the authority offers",
            "userActionRequired" => "the authority wants something from you: read its message",
            "caa" => "a CAA record of the domain does not allow this authority",
            "badCSR" | "badPublicKey" => {
                "the authority does not take this key: choose another type by `key` in the configuration"
            }
            "dns" => "does the name exist in the DNS, and do all of its servers answer?",
            "connection" | "tls" | "incorrectResponse" => UNPROVED,
            "serverInternal" | "orderNotReady" => "the authority has a problem of its own: try again later",
            "unauthorized" => "the authority does not let this account do that: read its message",
            _ => "the message is the authority's own; if it does not help, try again later or choose another authority",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.kind)?;
        for sub in &self.subproblems {
            let name = sub.identifier.as_ref().map_or_else(|| "one of the names".to_owned(), Identifier::human);
            write!(f, "; {name}: {} ({})", sub.detail, sub.kind)?;
        }
        Ok(())
    }
}

fn kind(urn: Option<&str>) -> String {
    urn.map_or_else(|| "unknown".to_owned(), |urn| printable(urn.strip_prefix(URN).unwrap_or(urn), KIND_SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subproblems_are_told_by_name() {
        let body = br#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some were rejected","status":400,
            "subproblems":[{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"No",
            "identifier":{"type":"dns","value":"a.test"}}]}"#;
        let problem = Problem::read(body).unwrap();
        assert_eq!(problem.to_string(), "Some were rejected (malformed); a.test: No (rejectedIdentifier)");
        assert!(problem.is_final());
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_document_says_is_told_on_one_tame_line(
            texts in proptest::collection::vec(proptest::prelude::any::<String>(), 4),
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            let sub = serde_json::json!({ "type": texts[2], "detail": texts[3],
                "identifier": { "type": "dns", "value": texts[0] } });
            let document = serde_json::json!({ "type": texts[0], "detail": texts[1], "subproblems": vec![sub; 200] });
            let told = Problem::read(document.to_string().as_bytes()).unwrap().to_string();
            proptest::prop_assert!(!told.contains(char::is_control));
            proptest::prop_assert!(told.chars().count() < SUBPROBLEMS * (SUBPROBLEM_SHOWN + 2 * KIND_SHOWN) + 3000);
            let _ = Problem::read(&bytes);
        }
    }

    #[test]
    fn what_is_no_problem_document_is_not_read_as_one() {
        for body in ["", "{}", "[]", "<html>", r#"{"status":500}"#] {
            assert_eq!(Problem::read(body.as_bytes()), None, "{body}");
        }
    }
}
