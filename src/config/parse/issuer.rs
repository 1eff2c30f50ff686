//! `[issuer.NAME]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::read::{Reader, Section, boolean, one_or_more, parsed, path, text};
use super::super::{Issuer, Limits};
use super::not_yet;
use crate::model::DirectoryUrl;

pub(super) fn issuers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Issuer> {
    let mut issuers = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "issuer") {
        let kind = section.get_or(reader, "type", "acme".to_owned(), |value| match text(value)?.as_str() {
            kind @ ("acme" | "internal") => Ok(kind.to_owned()),
            _ => Err("must be acme or internal".to_owned()),
        });
        let directory = if kind == "internal" {
            not_yet(reader, &section.key("type"), "a private authority");
            None
        } else {
            section.require(reader, "directory", parsed::<DirectoryUrl>)
        };
        let issuer = Issuer {
            name: name.clone(),
            directory,
            contact: section.get(reader, "contact", |value| one_or_more(value, mail)).unwrap_or_default(),
            terms_agreed: section.get_or(reader, "terms_agreed", false, boolean),
            root_ca: section.get(reader, "root_ca", path),
            profile: section.get(reader, "profile", text),
            limits: section.get(reader, "limits", |value| match text(value)?.as_str() {
                "letsencrypt" => Ok(Limits::Letsencrypt),
                "none" => Ok(Limits::None),
                _ => Err("must be letsencrypt or none".to_owned()),
            }),
        };
        for (key, what) in [("preferred_chain", "a preferred chain"), ("eab", "external account binding")] {
            if section.take(key).is_some() {
                not_yet(reader, &section.key(key), what);
            }
        }
        section.finish(reader);
        issuers.insert(name, issuer);
    }
    issuers
}

fn mail(value: &DeValue<'_>) -> Result<String, String> {
    let mail = text(value)?;
    check_mail(&mail)?;
    Ok(mail)
}

/// A mail address as authorities take it in a `mailto:` URL: no header fields, no list (RFC 8555, section 7.3).
pub(in super::super) fn check_mail(mail: &str) -> Result<(), String> {
    let plain = mail.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,;<>\"".contains(&byte));
    match mail.split_once('@') {
        Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => Ok(()),
        _ => Err(format!("{mail:?} is no mail address")),
    }
}
