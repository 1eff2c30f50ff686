//! The records that prove names for good (draft-ietf-acme-dns-persist): a person sets them once, and nothing is placed for an order.

use jiff::Timestamp;

use crate::model::{Identifier, IssueValue};

/// The label below which they are.
pub const PERSIST_LABEL: &str = "_validation-persist";
/// How long each string of a TXT record may be, in bytes (RFC 1035, section 3.3.14).
const STRING: usize = 255;

/// The name and the text of the record that proves a domain to an authority, which goes by this domain of its own, for an account.
/// One for a wildcard proves its base as well.
#[must_use]
pub fn persist_record(domain: &Identifier, authority: &str, account_url: &str) -> (String, String) {
    let name = domain.to_string();
    let base = name.strip_prefix("*.").unwrap_or(&name);
    let policy = if domain.is_wildcard() { "; policy=wildcard" } else { "" };
    (format!("{PERSIST_LABEL}.{base}"), format!("{authority}; accounturi={account_url}{policy}"))
}

/// A TXT record as one types it into the file of a zone (RFC 1035, section 5.1).
#[must_use]
pub fn txt_line(name: &str, text: &str) -> String {
    let strings: Vec<_> = text.as_bytes().chunks(STRING).map(|part| format!("\"{}\"", quoted(part))).collect();
    format!("{name}. IN TXT {}", strings.join(" "))
}

/// Whether the text of a record proves a domain to an authority that goes by one of these domains, for an account, now.
#[must_use]
pub fn persists(text: &str, domain: &Identifier, authorities: &[String], account_url: &str, now: Timestamp) -> bool {
    let Some(value) = IssueValue::parse(text) else { return false };
    let is_wildcard = || value.parameter("policy").is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard"));
    let is_valid = |until: &str| until.parse().is_ok_and(|until: i64| now.as_second() <= until);
    value.names_one_of(authorities)
        && value.parameter("accounturi") == Some(account_url)
        && (!domain.is_wildcard() || is_wildcard())
        && value.parameter("persistUntil").is_none_or(is_valid)
}

fn quoted(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\{other:03}"),
    };
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.test/acct/1";

    #[test]
    fn the_record_names_the_authority_and_the_account() {
        let record = |domain: &str| persist_record(&domain.parse().unwrap(), "ca.test", ACCOUNT);
        let (name, text) = record("a.test");
        assert_eq!(
            txt_line(&name, &text),
            r#"_validation-persist.a.test. IN TXT "ca.test; accounturi=https://ca.test/acct/1""#
        );
        let (name, text) = record("*.a.test");
        assert_eq!(
            txt_line(&name, &text),
            r#"_validation-persist.a.test. IN TXT "ca.test; accounturi=https://ca.test/acct/1; policy=wildcard""#
        );
    }

    #[test]
    fn a_line_for_a_zone_is_split_and_quoted() {
        assert_eq!(txt_line("a.test", "x\"\\\n"), r#"a.test. IN TXT "x\"\\\010""#);
        let long = txt_line("a.test", &"x".repeat(300));
        assert_eq!(long, format!("a.test. IN TXT \"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }

    #[test]
    fn only_the_record_for_this_account_proves_a_name() {
        let proves = |text: &str, domain: &str| {
            let authorities = ["ca.test".to_owned(), "ca.example".to_owned()];
            persists(text, &domain.parse().unwrap(), &authorities, ACCOUNT, Timestamp::from_second(1000).unwrap())
        };
        for domain in ["a.test", "*.a.test"] {
            let (_, text) = persist_record(&domain.parse().unwrap(), "ca.example", ACCOUNT);
            assert!(proves(&text, domain), "{text}");
            assert!(proves(&format!("{text}; persistUntil=1000; other=x"), domain));
            assert!(!proves(&format!("{text}; persistUntil=999"), domain));
            assert!(!proves(&format!("{text}; persistUntil=soon"), domain));
        }
        let wild = format!("ca.test;policy=Wildcard;accounturi={ACCOUNT}");
        assert!(proves(&wild, "a.test") && proves(&wild, "*.a.test"));
        let bare = format!("ca.test;accounturi={ACCOUNT}");
        assert!(proves(&bare, "a.test") && !proves(&bare, "*.a.test"));
        for text in [
            "",
            "ca.test",
            "v=spf1 -all",
            "other.test; accounturi=https://ca.test/acct/1",
            "ca.test; accounturi=https://ca.test/acct/2",
        ] {
            assert!(!proves(text, "a.test"), "{text}");
        }
    }
}
