//! acme.sh: `DOMAIN/` and `DOMAIN_ecc/` with `fullchain.cer`, `DOMAIN.key` and `DOMAIN.conf`; `ca/HOST/PATH/account.key` and
//! `ca.conf`, where the host is without its port.

use std::collections::BTreeSet;

use super::account::AccountObject;
use super::lineage::{ForeignAccount, Inventory, Lineage, Proof};
use super::settings::Settings;
use super::source::Source;
use super::{Error, https, mails, subdirectory};
use crate::acme::{AccountKey, ForeignKey};
use crate::config::kinds;
use crate::model::{CertName, DirectoryUrl, KeyKind};

/// The end of a directory for an ECDSA key.
const ECC: &str = "_ecc";
/// Levels of directories below `ca`: the host, and the path of the directory's URL.
const DEEPEST: usize = 6;

pub(super) fn read(source: &Source) -> Result<Inventory, Error> {
    let account = Settings::of_shell(&source.text("account.conf").unwrap_or_default());
    let home = match account.get("CERT_HOME") {
        Some(path) => format!("{}/", subdirectory(source, None, path)?),
        None => String::new(),
    };
    let directories: BTreeSet<String> = source.directories(&format!("./{home}")).collect();
    let mut certificates = Vec::new();
    for directory in &directories {
        let domain = directory.strip_suffix(ECC).unwrap_or(directory);
        let place = format!("{home}{directory}");
        let Ok(text) = source.text(&format!("{place}/{domain}.conf")) else { continue };
        let settings = Settings::of_shell(&text);
        let key = format!("{domain}.key");
        let mut lineage = Lineage::new(source, &place, domain, ["fullchain.cer", &key]);
        let is_ecc = domain != directory;
        let twin = if is_ecc { domain.to_owned() } else { format!("{domain}{ECC}") };
        if directories.contains(&twin) && source.has(&format!("{home}{twin}/fullchain.cer")) {
            let kind = if is_ecc { KeyKind::Ecdsa } else { KeyKind::Rsa };
            lineage.name = CertName::from_user(domain).and_then(|name| kinds::member(&name, kind));
            lineage.kind = Some(kind);
        }
        lineage.directory = settings.get("Le_API").and_then(https);
        lineage.proof = proof(&settings);
        let installed = settings.get("Le_RealFullChainPath").or(settings.get("Le_RealKeyPath"));
        lineage.hook = settings.get("Le_ReloadCmd").or(installed).map(str::to_owned);
        certificates.push(lineage);
    }
    let mut accounts = Vec::new();
    find(source, "", 0, &certificates, &mut accounts);
    for found in &mut accounts {
        found.users = certificates.iter().filter(|known| known.directory == found.directory).count();
        if found.contact.is_empty() {
            found.contact = mails(account.get("ACCOUNT_EMAIL"));
        }
    }
    Ok(Inventory { certificates, accounts, hooks: Vec::new() })
}

fn proof(settings: &Settings) -> Proof {
    let ways: Vec<&str> = settings.list("Le_Webroot").collect();
    // There may be one for each name.
    match ways.iter().find(|way| way.starts_with("dns")).or(ways.first()).copied() {
        Some("dns") => Proof::Dns("a person, by hand".to_owned()),
        Some(way) if way.starts_with("dns_") => Proof::Dns(format!("acme.sh's {way}")),
        Some("alpn") => Proof::TlsAlpn,
        Some(way) if way.starts_with('/') => Proof::Webroot(way.to_owned()),
        _ => Proof::Http,
    }
}

fn find(source: &Source, below: &str, depth: usize, certificates: &[Lineage], accounts: &mut Vec<ForeignAccount>) {
    let place = format!("ca{below}");
    if source.has(&format!("{place}/account.key")) {
        let settings = Settings::of_shell(&source.text(&format!("{place}/ca.conf")).unwrap_or_default());
        let registration: AccountObject = source.json(&format!("{place}/account.json")).unwrap_or_default();
        let told = registration.contact().chain(settings.get("CA_EMAIL"));
        let mut contact = mails(told);
        contact.dedup();
        let key = source.text(&format!("{place}/account.key"));
        let mut ordered = certificates.iter().filter_map(|certificate| certificate.directory.as_ref());
        let directory = ordered.find(|url| portless(url).as_deref() == Some(below)).cloned();
        accounts.push(ForeignAccount {
            place: source.shown(&place),
            directory: directory.or_else(|| https(&format!("https:/{below}"))),
            url: settings.get("ACCOUNT_URL").map(str::to_owned),
            contact,
            key: key.map_err(ForeignKey::from).and_then(|pem| AccountKey::adopt_pem(&pem)),
            users: 0,
        });
    } else if depth < DEEPEST {
        for name in source.directories(&place) {
            find(source, &format!("{below}/{name}"), depth + 1, certificates, accounts);
        }
    }
}

/// The host of a URL without its port, and the path.
fn portless(directory: &DirectoryUrl) -> Option<String> {
    let (authority, path) = directory.as_str().split_once("://")?.1.split_once('/')?;
    let host = authority.split(':').next()?;
    Some(format!("/{host}/{path}"))
}
