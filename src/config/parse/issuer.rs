//! `[issuer.NAME]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::read::{Reader, Section, boolean, one_or_more, parsed, path, text};
use super::super::{Eab, Issuer, Limits};
use crate::model::DirectoryUrl;

pub(super) fn issuers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Issuer> {
    let mut issuers = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "issuer") {
        let kind = section.get_or(reader, "type", "acme".to_owned(), |value| match text(value)?.as_str() {
            kind @ ("acme" | "internal") => Ok(kind.to_owned()),
            _ => Err("must be acme or internal".to_owned()),
        });
        if kind == "internal" {
            section.finish(reader);
            issuers.insert(name.clone(), Issuer::internal(name));
            continue;
        }
        let directory = section.require(reader, "directory", parsed::<DirectoryUrl>);
        let staging = section.get(reader, "staging", |value| match parsed::<DirectoryUrl>(value)? {
            staging if Some(&staging) == directory.as_ref() => {
                Err("is the directory itself: a rehearsal there would be an order".to_owned())
            }
            staging => Ok(staging),
        });
        let eab = eab(&mut section, reader);
        let issuer = Issuer {
            name: name.clone(),
            directory,
            contact: section.get(reader, "contact", |value| one_or_more(value, mail)).unwrap_or_default(),
            terms_agreed: section.get_or(reader, "terms_agreed", false, boolean),
            root_ca: section.get(reader, "root_ca", path),
            staging,
            profile: section.get(reader, "profile", text),
            limits: section.get(reader, "limits", |value| match text(value)?.as_str() {
                "letsencrypt" => Ok(Limits::Letsencrypt),
                "none" => Ok(Limits::None),
                _ => Err("must be letsencrypt or none".to_owned()),
            }),
            eab,
            preferred_chain: section.get(reader, "preferred_chain", some_text),
        };
        section.finish(reader);
        issuers.insert(name, issuer);
    }
    issuers
}

fn eab(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Eab> {
    let mut table = section.table(reader, "eab")?;
    let kid = table.require(reader, "kid", some_text);
    let hmac_key_file = table.file(reader, "hmac_key_file");
    table.finish(reader);
    Some(Eab { kid: kid?, hmac_key_file: hmac_key_file? })
}

fn some_text(value: &DeValue<'_>) -> Result<String, String> {
    text(value).and_then(|text| if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text) })
}

fn mail(value: &DeValue<'_>) -> Result<String, String> {
    let mail = text(value)?;
    check_mail(&mail)?;
    Ok(mail)
}

/// A mail address as authorities take it in a `mailto:` URL: no header fields, no list (RFC 8555, section 7.3).
pub fn check_mail(mail: &str) -> Result<(), String> {
    let plain = mail.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,;<>\"".contains(&byte));
    match mail.split_once('@') {
        Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => Ok(()),
        _ => Err(format!("{mail:?} is no mail address")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use super::super::testing;
    use super::*;

    fn parsed(issuer: &str) -> Result<Config, Vec<String>> {
        testing::parsed(&format!("[issuer.ca]\ndirectory = \"zerossl\"\n{issuer}"))
    }

    #[test]
    fn an_external_account_has_a_name_and_a_file_that_only_config_check_wants_to_be_there() {
        let config =
            parsed("eab = { kid = \"k1\", hmac_key_file = \"/x/eab.key\" }\npreferred_chain = \"Root X1\"").unwrap();
        let issuer = &config.issuers["ca"];
        let eab = Eab { kid: "k1".to_owned(), hmac_key_file: "/x/eab.key".into() };
        assert_eq!((issuer.eab.as_ref(), issuer.preferred_chain.as_deref()), (Some(&eab), Some("Root X1")));
        assert_eq!(config.warnings, Vec::<String>::new());
        let told = config.unreadable[0].to_string();
        assert!(told.starts_with("hotcert.toml:4:37: issuer.ca.eab.hmac_key_file: cannot read /x/eab.key: "), "{told}");
    }

    #[test]
    fn an_authority_is_rehearsed_where_its_staging_environment_is() {
        let config = parsed("staging = \"https://test.ca.test/dir\"\nprofile = \"short\"").unwrap();
        let staging = config.issuers["ca"].at_staging().unwrap();
        assert_eq!((staging.name.as_str(), staging.profile.as_deref()), ("ca-staging", Some("short")));
        assert_eq!(staging.directory.unwrap().as_str(), "https://test.ca.test/dir");
        assert_eq!(parsed("").unwrap().issuers["ca"].at_staging(), None);
        let known = |name: &str| Issuer { directory: Some(name.parse().unwrap()), ..config.issuers["ca"].clone() };
        for name in ["letsencrypt", "letsencrypt-staging"] {
            let staging = Issuer { staging: None, ..known(name) }.at_staging().unwrap();
            assert_eq!(
                (staging.directory.unwrap().short(), staging.limits),
                ("letsencrypt-staging", Some(Limits::None))
            );
        }
    }

    #[test]
    fn what_is_missing_or_wrong_about_it_is_a_problem_with_a_place() {
        for (issuer, expected) in [
            ("eab = { kid = \"k1\" }", "4:7: issuer.ca.eab.hmac_key_file: is missing"),
            ("eab = { hmac_key_file = \"/x\" }", "4:7: issuer.ca.eab.kid: is missing"),
            ("eab = { kid = \"\", hmac_key_file = \"/x\" }", "issuer.ca.eab.kid: must not be empty"),
            ("eab = { kid = \"k\", hmac_key_file = \"x\" }", "must be the absolute path of a file"),
            ("eab = { kid = \"k\", hmac_key_file = \"/x\", hmac_key = \"s\" }", "issuer.ca.eab.hmac_key: unknown key"),
            ("eab = \"k\"", "issuer.ca.eab: must be a table"),
            ("staging = \"zerossl\"", "4:11: issuer.ca.staging: is the directory itself"),
            ("staging = \"http://x\"", "issuer.ca.staging: "),
            ("preferred_chain = \"\"", "issuer.ca.preferred_chain: must not be empty"),
        ] {
            let problems = parsed(issuer).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
        }
    }
}
