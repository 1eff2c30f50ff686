//! `[solver.NAME]` of type `dns-01`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::SignedDuration;
use toml::de::DeValue;

use super::super::Dns;
use super::super::read::{Reader, Section, parsed, path, span, text};
use crate::model::{Credential, DnsProvider, HOSTED, TsigKey};

/// How long a record may take to reach every server. Servers of one's own take seconds, hosted ones seldom more than a minute.
const PROPAGATION: SignedDuration = SignedDuration::from_mins(2);
/// It takes at least one look.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// Authorities forget an authorization that nobody goes on with, some after an hour.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn dns01(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Dns> {
    let propagation = if section.has("propagation") {
        let bounded = |value: &DeValue<'_>| span(value, SHORTEST..=LONGEST, "1 second to 1 hour");
        section.get(reader, "propagation", bounded).unwrap_or(PROPAGATION)
    } else {
        section.get_or(reader, "propagation", format!("{PROPAGATION:#}"), text);
        PROPAGATION
    };
    let name = section.require(reader, "provider", provider);
    let zone = match name.as_deref() {
        // Programs find it by themselves.
        Some("exec" | "acme.sh") => None,
        _ => section.get(reader, "zone", parsed),
    };
    let provider = match name?.as_str() {
        "rfc2136" => rfc2136(section, reader),
        "exec" => section.file(reader, "program").map(|program| DnsProvider::Exec { program }),
        "acme.sh" => acme_sh(section, reader),
        service => hosted(service, section, reader),
    };
    Some(Dns { provider: provider?, zone, propagation })
}

fn provider(value: &DeValue<'_>) -> Result<String, String> {
    let name = text(value)?;
    match name.as_str() {
        "rfc2136" | "exec" | "acme.sh" => Ok(name),
        "ddnss" | "duckdns" | "freemyip" | "hurricane" => Err(format!(
            "hotcert would replace whatever else stands at a name of {name}; acme.sh has a script for it: provider = \"acme.sh\""
        )),
        _ if Credential::of(&name).is_some() && cfg!(feature = "hosted-dns") => Ok(name),
        _ if Credential::of(&name).is_some() => {
            Err(format!("this hotcert was built without {name} (feature hosted-dns)"))
        }
        _ => {
            let hosted: Vec<_> = HOSTED.iter().map(|(name, _)| *name).collect();
            Err(format!("must be rfc2136, exec, acme.sh, or a hosted provider: {}", hosted.join(", ")))
        }
    }
}

fn rfc2136(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<DnsProvider> {
    let server = section.require(reader, "server", parsed);
    if !section.has("tsig") {
        section.take("tsig");
        section.problem(reader, "tsig", "is missing: rfc2136 asks for tsig = { key_file = \"…\" }");
        return None;
    }
    let mut table = section.table(reader, "tsig")?;
    let key_file = table.file(reader, "key_file");
    let name = table.get(reader, "name", parsed);
    let algorithm = table.get(reader, "algorithm", parsed);
    table.finish(reader);
    Some(DnsProvider::Rfc2136 { server: server?, tsig: TsigKey { key_file: key_file?, name, algorithm } })
}

fn acme_sh(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<DnsProvider> {
    let api = section.require(reader, "api", |value| {
        let api = text(value)?;
        let rest = api.strip_prefix("dns_").unwrap_or_default();
        if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("{api:?} is no name of a script of acme.sh, such as dns_cf"));
        }
        Ok(api)
    });
    let home = section.require(reader, "home", |value| match path(value)? {
        home if home.is_absolute() => Ok(home),
        home => Err(format!("{} is not an absolute path", home.display())),
    });
    let environment_file = optional_file(section, reader, "environment_file");
    Some(DnsProvider::AcmeSh { api: api?, home: home?, environment_file })
}

pub(super) fn optional_file(section: &mut Section<'_>, reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    if section.has(key) {
        return section.file(reader, key);
    }
    section.take(key);
    None
}

fn hosted(service: &str, section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<DnsProvider> {
    let wanted = Credential::of(service).unwrap_or_default();
    let told: Vec<_> = wanted
        .iter()
        .map(|one| if one.is_required { one.key.to_owned() } else { format!("{} (optional)", one.key) })
        .collect();
    let asks = format!("{service} asks for {}", told.join(", "));
    if !section.has("credentials") {
        section.take("credentials");
        section.problem(reader, "credentials", format!("is missing: {asks}"));
        return None;
    }
    let mut table = section.table(reader, "credentials")?;
    let lacking: Vec<_> =
        wanted.iter().filter(|one| one.is_required && !table.has(one.key)).map(|one| one.key).collect();
    if !lacking.is_empty() {
        section.problem(reader, "credentials", format!("lacks {}: {asks}", lacking.join(", ")));
    }
    let mut credentials = BTreeMap::new();
    for Credential { key, .. } in wanted {
        let value = if Credential::is_secret(key) {
            optional_file(&mut table, reader, key).map(|path| path.to_string_lossy().into_owned())
        } else {
            table.get(reader, key, text)
        };
        credentials.extend(value.map(|value| (key.to_owned(), value)));
    }
    table.finish(reader);
    Some(DnsProvider::Hosted { service: service.to_owned(), credentials })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Config, Method};
    use super::super::testing::parsed;
    use super::*;

    fn config(table: &str) -> Result<Config, Vec<String>> {
        parsed(&format!("[solver.dns]\ntype = \"dns-01\"\n{table}"))
    }

    fn dns(table: &str) -> Dns {
        let config = config(table).unwrap_or_else(|problems| panic!("{table}: {problems:#?}"));
        assert_eq!(config.warnings, Vec::<String>::new());
        match config.solvers["dns"].method.clone() {
            Method::Dns01(dns) => dns,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_provider_is_read_and_remembered() {
        for (table, name, seconds) in [
            ("provider = \"rfc2136\"\nserver = \"192.0.2.53:53\"\ntsig = { key_file = \"/k\" }", "rfc2136", 120),
            (
                "provider = \"rfc2136\"\nserver = \"ns.a.test:53\"\nzone = \"a.test\"\npropagation = \"30s\"\n\
                 tsig = { key_file = \"/k\", name = \"hotcert.\", algorithm = \"hmac-sha512\" }",
                "rfc2136",
                30,
            ),
            ("provider = \"exec\"\nprogram = \"/usr/local/bin/hook\"", "exec", 120),
            ("provider = \"acme.sh\"\napi = \"dns_cf\"\nhome = \"/opt/acme.sh\"", "acme.sh", 120),
            (
                "provider = \"cloudflare\"\nzone = \"a.test\"\ncredentials = { api_token_file = \"/t\" }",
                "cloudflare",
                120,
            ),
            (
                "provider = \"route53\"\ncredentials = { access_key_id = \"AK\", secret_access_key_file = \"/s\", region = \"eu-west-1\" }",
                "route53",
                120,
            ),
        ] {
            let dns = dns(table);
            assert_eq!((dns.provider.name(), dns.propagation.as_secs()), (name, seconds), "{table}");
            let stored = serde_json::to_string(&dns).unwrap();
            assert_eq!(serde_json::from_str::<Dns>(&stored).unwrap(), dns, "{stored}");
        }
    }

    #[test]
    fn what_a_provider_lacks_is_listed() {
        for (table, expected) in [
            ("", "solver.dns.provider: is missing"),
            ("provider = \"nobody\"", "rfc2136, exec, acme.sh, or a hosted provider: alidns, arvancloud, "),
            ("provider = \"duckdns\"", "acme.sh has a script for it"),
            ("provider = \"rfc2136\"\nserver = \"a:53\"", "solver.dns.tsig: is missing: rfc2136 asks for tsig = {"),
            ("provider = \"rfc2136\"\ntsig = { key_file = \"/k\" }", "solver.dns.server: is missing"),
            (
                "provider = \"rfc2136\"\nserver = \"a:53\"\ntsig = { key_file = \"k\" }",
                "must be the absolute path of a file",
            ),
            (
                "provider = \"rfc2136\"\nserver = \"a:53\"\ntsig = { key_file = \"/k\", algorithm = \"hmac-md5\" }",
                "solver.dns.tsig.algorithm: \"hmac-md5\" is not a TSIG algorithm",
            ),
            ("provider = \"cloudflare\"", "solver.dns.credentials: is missing: cloudflare asks for api_token_file"),
            (
                "provider = \"route53\"\ncredentials = { access_key_id = \"AK\" }",
                "lacks secret_access_key_file: route53 asks for access_key_id, secret_access_key_file, session_token_file (optional), ",
            ),
            (
                "provider = \"cloudflare\"\ncredentials = { api_token_file = \"/t\", api_token = \"s\" }",
                "solver.dns.credentials.api_token: unknown key",
            ),
            ("provider = \"exec\"\nprogram = \"hook\"", "must be the absolute path of a file"),
            ("provider = \"exec\"\nprogram = \"/hook\"\nzone = \"a.test\"", "solver.dns.zone: unknown key"),
            ("provider = \"acme.sh\"\napi = \"dns_cf; id\"\nhome = \"/a\"", "is no name of a script of acme.sh"),
            ("provider = \"acme.sh\"\napi = \"dns_cf\"\nhome = \"a\"", "a is not an absolute path"),
            ("provider = \"exec\"\nprogram = \"/hook\"\npropagation = \"2h\"", "\"2h\" is not from 1 second to 1 hour"),
            ("provider = \"exec\"\nprogram = \"/hook\"\nprobe = \"a:1\"", "solver.dns.probe: unknown key"),
        ] {
            let problems = config(table).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_told_by_whoever_checks() {
        let config = config("provider = \"cloudflare\"\ncredentials = { api_token_file = \"/nowhere/t\" }").unwrap();
        let told = config.unreadable[0].to_string();
        assert!(
            told.starts_with("hotcert.toml:5:34: solver.dns.credentials.api_token_file: cannot read /nowhere/t"),
            "{told}"
        );
    }
}
