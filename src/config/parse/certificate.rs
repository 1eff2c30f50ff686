//! `[[certificate]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::de::DeValue;

use super::super::read::{Reader, Section, list, one_or_more, parsed, path, text};
use super::super::solver::default_solvers;
use super::super::{Certificate, Issuer, Order, Solver, kinds};
use super::group::Groups;
use super::join;
use crate::model::{CertName, Identifier, KeyType};

/// The most names that any known authority puts into one certificate.
const MOST_NAMES: usize = 100;

pub(super) fn certificates(
    top: &mut Section<'_>,
    reader: &mut Reader<'_>,
    issuers: &BTreeMap<String, Issuer>,
    solvers: &BTreeMap<String, Solver>,
    groups: &Groups<'_>,
) -> BTreeMap<CertName, Certificate> {
    let mut certificates = BTreeMap::new();
    let mut lines: BTreeMap<CertName, usize> = BTreeMap::new();
    for mut section in top.array(reader, "certificate") {
        let named = section.has("name");
        let domains = section.require(reader, "domains", |value| {
            let domains = list(value, parsed::<Identifier>)?;
            let distinct: BTreeSet<_> = domains.iter().collect();
            match domains.len() {
                0 => Err("must name at least one domain".to_owned()),
                count if count > MOST_NAMES => {
                    Err(format!("names {count} domains, and authorities allow {MOST_NAMES}"))
                }
                count if count > distinct.len() => Err("names a domain twice".to_owned()),
                _ if named => Ok(domains),
                _ => match CertName::of(&domains[0]) {
                    Ok(_) => Ok(domains),
                    Err(invalid) => Err(format!("cannot name the certificate ({invalid}): give it a `name`")),
                },
            }
        });
        let name = section.get(reader, "name", parsed::<CertName>);
        let name = match (&name, &domains) {
            (None, Some(domains)) if !named => CertName::of(&domains[0]).ok(),
            _ => name,
        };
        let of = |known: Vec<&String>, what: &str, name: &str| match known.iter().any(|known| *known == name) {
            true => Ok(()),
            false if known.is_empty() => Err(format!("names {name:?}, and no {what} is configured")),
            false => Err(format!("names {name:?}, and the {what}s are: {}", join(known.iter()))),
        };
        let chosen_issuers = section.get(reader, "issuers", |value| {
            let chosen = one_or_more(value, text)?;
            chosen.iter().try_for_each(|name| of(issuers.keys().collect(), "issuer", name))?;
            Ok(chosen.iter().map(|name| issuers[name].clone()).collect::<Vec<_>>())
        });
        let chosen_solvers = section.get(reader, "solver", |value| {
            let chosen = one_or_more(value, text)?;
            chosen.iter().try_for_each(|name| of(solvers.keys().collect(), "solver", name))?;
            Ok(chosen.iter().map(|name| solvers[name].clone()).collect::<Vec<_>>())
        });
        let keys = section
            .get(reader, "key", |value| {
                let keys = one_or_more(value, parsed::<KeyType>)?;
                kinds::check(&keys).map(|()| keys)
            })
            .unwrap_or_else(|| vec![KeyType::default()]);
        let chosen_nodes = section.get(reader, "nodes", |value| groups.nodes(value));
        if chosen_issuers.is_none() && issuers.len() != 1 && !section.was_wrong(reader, "issuers") {
            let what = if issuers.is_empty() {
                "no issuer is configured"
            } else {
                "several issuers are configured: say which"
            };
            section.problem(reader, "issuers", what);
        }
        let issuers = chosen_issuers.unwrap_or_else(|| issuers.values().take(1).cloned().collect());
        let order = Order { issuers, solvers: chosen_solvers.unwrap_or_default(), keys };
        let order =
            if order.is_internal() { order } else { proved(order, domains.as_deref(), solvers, &section, reader) };
        let is_complete = name.is_some() && domains.is_some();
        let rest = Certificate {
            name: name.unwrap_or_else(|| "invalid".parse().expect("it is a valid certificate name")),
            kind: None,
            domains: domains.unwrap_or_default(),
            order: Some(order),
            nodes: chosen_nodes.unwrap_or_default(),
            crt_list: None,
            options: section.get(reader, "options", options),
            filters: section.get(reader, "filters", |value| list(value, filter)).unwrap_or_default(),
            slot: section.get(reader, "slot", parsed),
            file: section.get(reader, "file", absolute),
            publish: true,
            require: section.get(reader, "require", parsed),
        };
        check_place(&rest, &certificates, &section, reader);
        if is_complete {
            add(rest, &mut certificates, &mut lines, &section, reader);
        }
        section.finish(reader);
    }
    certificates
}

/// An order with the solvers that prove its names.
fn proved(
    mut order: Order,
    domains: Option<&[Identifier]>,
    solvers: &BTreeMap<String, Solver>,
    section: &Section<'_>,
    reader: &mut Reader<'_>,
) -> Order {
    if section.was_wrong(reader, "solver") {
        return order;
    }
    if order.solvers.is_empty() {
        match default_solvers(solvers) {
            Some(solvers) => order.solvers = solvers,
            None => section.problem(
                reader,
                "solver",
                "several solvers are configured: say which, or which `names` each is for",
            ),
        }
    }
    if order.solvers.is_empty() {
        order.solvers.push(Solver::default_listener());
    }
    let is_proved = |domain: &&Identifier| order.solvers.iter().any(|solver| solver.fits(domain));
    if let Some(domain) = domains.unwrap_or_default().iter().find(|domain| !is_proved(domain)) {
        section.problem(reader, "domains", Solver::unprovable(domain, &order.solvers));
    }
    order
}

/// Adds a certificate, or both kinds of it. Each name is that of one certificate.
fn add(
    certificate: Certificate,
    certificates: &mut BTreeMap<CertName, Certificate>,
    lines: &mut BTreeMap<CertName, usize>,
    section: &Section<'_>,
    reader: &mut Reader<'_>,
) {
    let name = certificate.name.clone();
    match certificate.members() {
        Ok(members) => {
            let here = section.line(reader);
            let claimed: BTreeSet<_> = members.iter().map(|member| &member.name).chain([&name]).cloned().collect();
            let taken = claimed.iter().find_map(|name| Some((name, *lines.get(name)?)));
            if let Some((name, other)) = taken {
                let what = format!("two certificates are named {name}: this one and that of line {other}");
                section.problem(reader, "name", what);
            }
            lines.extend(claimed.into_iter().map(|name| (name, here)));
            certificates.extend(members.into_iter().map(|member| (member.name.clone(), member)));
        }
        Err(invalid) => section.problem(reader, "name", format!("cannot name both kinds ({invalid})")),
    }
}

/// A slot and a file are those of one certificate, and the file of an alias has to be named.
fn check_place(
    certificate: &Certificate,
    others: &BTreeMap<CertName, Certificate>,
    section: &Section<'_>,
    reader: &mut Reader<'_>,
) {
    let is_alias = certificate.slot.as_ref().is_some_and(|slot| slot.as_str().starts_with('@'));
    if is_alias && certificate.file.is_none() && !section.was_wrong(reader, "file") {
        section.problem(reader, "file", "is missing: HAProxy does not tell where the file of an alias lies");
    }
    let has_two_kinds = certificate.order.as_ref().is_some_and(|order| order.keys.len() > 1);
    for (key, is_given) in [("slot", certificate.slot.is_some()), ("file", certificate.file.is_some())] {
        if is_given && has_two_kinds {
            section.problem(reader, key, "is for one certificate, and `key` asks for two");
        }
    }
    if let Some((other, key)) = others.values().find_map(|other| Some((other, shared(certificate, other)?))) {
        section.problem(reader, key, format!("is that of certificate {}, too", other.name));
    }
}

/// What two certificates have both on some node: a slot holds one certificate, and so does a file.
fn shared(one: &Certificate, other: &Certificate) -> Option<&'static str> {
    let meet =
        one.nodes.is_empty() || other.nodes.is_empty() || one.nodes.iter().any(|node| other.nodes.contains(node));
    // Two of one name are told of anyway.
    if !meet || one.name == other.name {
        None
    } else if one.slot.is_some() && one.slot == other.slot {
        Some("slot")
    } else if one.file.is_some() && one.file == other.file {
        Some("file")
    } else {
        None
    }
}

fn absolute(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match path(value)? {
        path if path.is_absolute() => Ok(path),
        _ => Err("must be an absolute path".to_owned()),
    }
}

fn options(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match inner {
        Some(inner)
            if inner.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && !b"[];\\#\"'".contains(&byte)) =>
        {
            Ok(text)
        }
        _ => Err("must stand in one pair of brackets, as in [alpn h2,http/1.1]".to_owned()),
    }
}

fn filter(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let name = text.strip_prefix('!').unwrap_or(&text);
    match name {
        "*" => Ok(text),
        name if matches!(name.parse(), Ok(Identifier::Dns(ascii)) if ascii == name) => Ok(text),
        _ => Err(format!("{text:?} is no SNI filter: use a name, *.name, or either with a leading !")),
    }
}
