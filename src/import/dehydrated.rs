//! dehydrated: `certs/NAME/{fullchain,privkey}.pem`, which lead to versions beside them, `accounts/URL/` with the URL of the
//! directory in base64, and `config`, which is a shell script.

use std::path::Path;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::account::AccountObject;
use super::lineage::{ForeignAccount, Inventory, Lineage, Proof};
use super::settings::Settings;
use super::source::Source;
use super::{Error, https, mails, subdirectory};
use crate::acme::{AccountKey, ForeignKey};
use crate::model::DirectoryUrl;

/// The names by which it knows authorities.
const NAMES: [(&str, &str); 5] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-test", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
    ("buypass", "https://api.buypass.com/acme/directory"),
    ("buypass-test", "https://api.test4.buypass.no/acme/directory"),
];

/// The tool that it encodes with leaves bits behind that stand for nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
struct Id {
    url: Option<String>,
}

pub(super) fn read(source: &Source) -> Result<Inventory, Error> {
    let mut text = source.text("config").map(|text| text.as_str().to_owned()).unwrap_or_default();
    for file in
        source.list("conf.d").iter().filter(|entry| Path::new(&entry.name).extension().is_some_and(|end| end == "sh"))
    {
        text.push('\n');
        text.push_str(&source.text(&format!("conf.d/{}", file.name)).unwrap_or_default());
    }
    let settings = Settings::of_shell(&text);
    let base = settings.get("BASEDIR");
    if let Some(base) = base.filter(|_| !source.has("certs")) {
        subdirectory(source, None, base)?;
    }
    let place = |key: &str, default: &str| match settings.get(key) {
        Some(path) => subdirectory(source, base, path),
        None => Ok(default.to_owned()),
    };
    let mut accounts = accounts(source, &place("ACCOUNTDIR", "accounts")?);
    let named = settings.get("CA").and_then(|ca| {
        let known = NAMES.iter().find(|(name, _)| *name == ca);
        https(known.map_or(ca, |(_, url)| url))
    });
    // Its settings may lie elsewhere. Then it is the one at which it has an account.
    let directory = named.or_else(|| match accounts.as_slice() {
        [only] => only.directory.clone(),
        _ => None,
    });

    let certs = place("CERTDIR", "certs")?;
    let mut certificates = Vec::new();
    for name in source.directories(&certs) {
        let place = format!("{certs}/{name}");
        let own = Settings::of_shell(&source.text(&format!("{place}/config")).unwrap_or_default());
        let get = |key: &str| own.get(key).or(settings.get(key));
        let hook = get("HOOK").map(str::to_owned);
        let proof = match get("CHALLENGETYPE") {
            Some("dns-01") => Proof::Dns(hook.clone().unwrap_or_else(|| "its hook".to_owned())),
            Some("tls-alpn-01") => Proof::TlsAlpn,
            _ => match get("WELLKNOWN").and_then(|path| path.strip_suffix("/.well-known/acme-challenge")) {
                Some(root) => Proof::Webroot(root.to_owned()),
                None => Proof::Http,
            },
        };
        let lineage = Lineage::new(source, &place, &name, ["fullchain.pem", "privkey.pem"]);
        certificates.push(Lineage { directory: directory.clone(), proof, hook, ..lineage });
    }
    for account in &mut accounts {
        account.users = if account.directory == directory { certificates.len() } else { 0 };
        if account.contact.is_empty() {
            account.contact = mails(settings.get("CONTACT_EMAIL"));
        }
    }
    Ok(Inventory { certificates, accounts, hooks: Vec::new() })
}

fn accounts(source: &Source, below: &str) -> Vec<ForeignAccount> {
    let directories = source.directories(below).map(|name| (format!("{below}/{name}"), directory_in(&name)));
    let accounts = directories.filter(|(place, _)| source.has(&format!("{place}/account_key.pem")));
    let accounts = accounts.map(|(place, directory)| {
        let id: Option<Id> = source.json(&format!("{place}/account_id.json")).ok();
        let registration: AccountObject = source.json(&format!("{place}/registration_info.json")).unwrap_or_default();
        let key = source.text(&format!("{place}/account_key.pem"));
        ForeignAccount {
            place: source.shown(&place),
            directory,
            url: id.and_then(|id| id.url),
            contact: mails(registration.contact()),
            key: key.map_err(ForeignKey::from).and_then(|pem| AccountKey::adopt_pem(&pem)),
            users: 0,
        }
    });
    accounts.collect()
}

/// The URL that the name of an account's directory stands for.
fn directory_in(name: &str) -> Option<DirectoryUrl> {
    https(String::from_utf8(BASE64.decode(name).ok()?).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_accounts_directory_is_that_of_its_authority() {
        let name = "aHR0cHM6Ly8xMjcuMC4wLjE6MjQwMDAvZGlyCg";
        assert_eq!(directory_in(name).unwrap().as_str(), "https://127.0.0.1:24000/dir");
        let name = "aHR0cHM6Ly9hY21lLXYwMi5hcGkubGV0c2VuY3J5cHQub3JnL2RpcmVjdG9yeQo";
        assert_eq!(directory_in(name), Some(DirectoryUrl::letsencrypt()));
        assert_eq!((directory_in(".."), directory_in("AAAA")), (None, None));
    }
}
