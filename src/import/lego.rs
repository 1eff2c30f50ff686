//! lego: `certificates/NAME.{crt,key,json}`, `accounts/HOST/MAIL/account.json`, `accounts/HOST/MAIL/keys/MAIL.key`.
//!
//! Of an authority its files hold the host alone, so its directory has to be known otherwise.

use serde::Deserialize;

use super::account::Registration;
use super::lineage::{ForeignAccount, Inventory, Lineage};
use super::mails;
use super::source::Source;
use crate::acme::{AccountKey, ForeignKey};
use crate::model::DirectoryUrl;

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "certUrl")]
    cert_url: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    email: Option<String>,
    registration: Option<Registration>,
}

pub(super) fn read(source: &Source, known: &[DirectoryUrl]) -> Inventory {
    let at = |host: &str| known.iter().find(|directory| host_of(directory.as_str()) == Some(host)).cloned();
    let files = source.list("certificates").into_iter().filter(|entry| !entry.is_directory);
    let names = files.filter_map(|entry| entry.name.strip_suffix(".crt").map(str::to_owned));
    let certificates: Vec<Lineage> = names
        .filter(|name| !name.ends_with(".issuer"))
        .map(|name| {
            let resource: Option<Resource> = source.json(&format!("certificates/{name}.json")).ok();
            let url = resource.and_then(|resource| resource.cert_url);
            let (certificate, key) = (format!("certificates/{name}.crt"), format!("certificates/{name}.key"));
            let lineage = Lineage::new(source, "", &name, [&certificate, &key]);
            let directory = url.as_deref().and_then(host_of).and_then(at);
            Lineage { place: source.shown(&certificate), directory, ..lineage }
        })
        .collect();

    let mut accounts = Vec::new();
    for host in source.directories("accounts") {
        for mail in source.directories(&format!("accounts/{host}")) {
            let place = format!("accounts/{host}/{mail}");
            let Ok(Account { email, registration }) = source.json(&format!("{place}/account.json")) else { continue };
            let key = source.text(&format!("{place}/keys/{mail}.key"));
            let registration = registration.unwrap_or_default();
            let mut contact = mails(registration.body.contact().chain(email.as_deref()));
            contact.dedup();
            // lego writes the colon before a port as `_`, of which no host has one.
            let directory = at(&host.replace('_', ":"));
            accounts.push(ForeignAccount {
                place: source.shown(&place),
                users: certificates.iter().filter(|known| known.directory == directory).count(),
                directory,
                contact,
                url: registration.uri,
                key: key.map_err(ForeignKey::from).and_then(|pem| AccountKey::adopt_pem(&pem)),
            });
        }
    }
    Inventory { certificates, accounts, hooks: Vec::new() }
}

/// The host of a URL, with its port.
fn host_of(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split(['/', '?', '#']).next()
}
