//! certbot: `live/NAME/` with links into `archive/`, `renewal/NAME.conf`, `accounts/HOST/PATH/ID/`.

use std::collections::BTreeSet;

use super::account::Registration;
use super::lineage::{ForeignAccount, Inventory, Lineage, Proof};
use super::settings::Settings;
use super::source::Source;
use super::{https, mails};
use crate::acme::{AccountKey, ForeignKey};

/// Levels of directories below `accounts`: the host, the path of the directory's URL, and the account's name.
const DEEPEST: usize = 6;
/// Authenticators that prove names by http-01 by themselves.
const HTTP: [&str; 4] = ["standalone", "nginx", "apache", "manual"];

pub(super) fn read(source: &Source) -> Inventory {
    let confs = source.list("renewal").into_iter().filter(|entry| !entry.is_directory);
    let mut names: BTreeSet<String> =
        confs.filter_map(|entry| entry.name.strip_suffix(".conf").map(str::to_owned)).collect();
    names.extend(source.directories("live"));
    let (mut certificates, mut used) = (Vec::new(), Vec::new());
    for name in names {
        let text = source.text(&format!("renewal/{name}.conf")).unwrap_or_default();
        let settings = Settings::of_certbot(&text, "renewalparams");
        used.extend(settings.get("account").map(str::to_owned));
        certificates.push(Lineage {
            directory: settings.get("server").and_then(https),
            proof: proof(&settings),
            hook: settings.get("renew_hook").or(settings.get("deploy_hook")).map(str::to_owned),
            ..Lineage::new(source, &format!("live/{name}"), &name, ["fullchain.pem", "privkey.pem"])
        });
    }
    let mut accounts = Vec::new();
    find(source, "", 0, &mut accounts);
    for account in &mut accounts {
        account.users = used.iter().filter(|id| account.place.ends_with(&format!("/{id}"))).count();
    }
    let hooks = source.list("renewal-hooks/deploy").into_iter().map(|entry| {
        let file = format!("renewal-hooks/deploy/{}", entry.name);
        source.shown(&file)
    });
    Inventory { certificates, accounts, hooks: hooks.collect() }
}

/// Finds the accounts below `accounts`; where they lie says whose they are.
fn find(source: &Source, below: &str, depth: usize, accounts: &mut Vec<ForeignAccount>) {
    let place = format!("accounts{below}");
    if let Some((url, _)) = below.rsplit_once('/').filter(|_| source.has(&format!("{place}/private_key.json"))) {
        let registration: Registration = source.json(&format!("{place}/regr.json")).unwrap_or_default();
        let key = source.bytes(&format!("{place}/private_key.json"));
        accounts.push(ForeignAccount {
            place: source.shown(&place),
            directory: https(&format!("https:/{url}")),
            contact: mails(registration.body.contact()),
            url: registration.uri,
            key: key.map_err(ForeignKey::from).and_then(|json| AccountKey::adopt_jwk(&json)),
            users: 0,
        });
    } else if depth < DEEPEST {
        for name in source.directories(&place) {
            find(source, &format!("{below}/{name}"), depth + 1, accounts);
        }
    }
}

fn proof(settings: &Settings) -> Proof {
    let plugin = settings.get("authenticator").unwrap_or("standalone");
    let prefers_dns = settings.list("pref_challs").next() == Some("dns-01");
    match plugin {
        "webroot" => settings.list("webroot_path").next().map_or(Proof::Http, |path| Proof::Webroot(path.to_owned())),
        plugin if HTTP.contains(&plugin) && !prefers_dns => Proof::Http,
        // A plug-in of its own, as most that change the DNS are.
        plugin => Proof::Dns(format!("certbot's {plugin}")),
    }
}
