//! From the file to a [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::read::{Reader, Section, boolean, list, one_or_more, parsed, path, text};
use super::{
    Certificate, Config, DEFAULT_LISTEN, DEFAULT_STATE_DIR, Error, Issuer, Layout, Limits, Node, Order, Solver, Via,
    Watch,
};
use crate::model::{Address, CertName, DirectoryUrl, Identifier, KeyType, NodeName, Slot};

/// The only version of the file's syntax.
const VERSION: &str = "1";
/// Bits that a published file may have: it holds a private key, so at most its group may read it.
const WIDEST_MODE: u32 = 0o640;

/// Reads a whole file; `Err` has every problem.
pub(super) fn parse(file: &Path, content: &str) -> Result<Config, Error> {
    let mut reader = Reader::new(file, content);
    let mut top = reader.document();

    top.require(&mut reader, "version", |value| match value {
        DeValue::Integer(number) if number.as_str() == VERSION => Ok(()),
        _ => Err(format!("must be {VERSION}, the only version there is")),
    });
    let state_dir = top.get_or(&mut reader, "state_dir", DEFAULT_STATE_DIR.to_owned(), text).into();
    let trust = top.get(&mut reader, "trust", |value| one_or_more(value, path)).unwrap_or_default();
    let issuers = issuers(&mut top, &mut reader);
    let solvers = solvers(&mut top, &mut reader);
    let nodes = nodes(&mut top, &mut reader);
    let certificates = certificates(&mut top, &mut reader, &issuers, &solvers, &nodes);
    let watches = watches(&mut top, &mut reader);
    top.finish(&mut reader);

    if !reader.problems.is_empty() {
        reader.problems.sort_by_key(|problem| (problem.line, problem.column));
        return Err(Error::Problems(reader.problems));
    }
    Ok(Config {
        state_dir,
        trust,
        issuers,
        solvers,
        nodes,
        certificates,
        remembered: BTreeSet::new(),
        watches,
        settings: reader.settings,
        warnings: reader.warnings,
    })
}

fn issuers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Issuer> {
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

fn solvers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Solver> {
    let mut solvers = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "solver") {
        section.require(reader, "type", |value| match text(value)?.as_str() {
            "http-01" => Ok(()),
            "tls-alpn-01" | "dns-01" | "dns-persist-01" => Err("this version knows only http-01".to_owned()),
            _ => Err("must be http-01".to_owned()),
        });
        let via = section.get_or(reader, "via", "listener".to_owned(), text);
        let via = match via.as_str() {
            "listener" => {
                Some(Via::Listener { listen: section.get_or(reader, "listen", DEFAULT_LISTEN, parsed::<SocketAddr>) })
            }
            "stateless" => Some(Via::Stateless),
            "haproxy-map" => section.require(reader, "map", text).map(|map| Via::HaproxyMap { map }),
            "webroot" => section.require(reader, "path", path).map(|path| Via::Webroot { path }),
            _ => {
                section.problem(reader, "via", "must be listener, stateless, haproxy-map or webroot");
                None
            }
        };
        let probe = section.get(reader, "probe", parsed);
        section.finish(reader);
        if let Some(via) = via {
            solvers.insert(name.clone(), Solver { name, via, probe });
        }
    }
    solvers
}

fn nodes(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<NodeName, Node> {
    let mut nodes = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "haproxy") {
        let name = match name.parse::<NodeName>() {
            Ok(name) => Some(name),
            Err(error) => {
                section.problem(reader, "", error.to_string());
                None
            }
        };
        let insecure = section.get_or(reader, "insecure", false, boolean);
        let socket = section.require(reader, "socket", |value| {
            let address: Address = parsed(value)?;
            match address {
                Address::Tcp(_) if !address.is_local() && !insecure => Err(
                    "plain TCP off loopback lets anyone on the way read private keys; use tls://, or set insecure = true".to_owned(),
                ),
                address => Ok(address),
            }
        });
        if matches!(socket, Some(Address::Tls(_))) {
            not_yet(reader, &section.key("socket"), "a node behind TLS");
        }
        for (key, what) in [("tls", "a node behind TLS"), ("master", "the master socket")] {
            if section.take(key).is_some() {
                not_yet(reader, &section.key(key), what);
            }
        }
        let node = Node {
            name: name.clone().unwrap_or_else(|| "invalid".parse().expect("it is a valid node name")),
            socket: socket.clone().unwrap_or(Address::Unix(PathBuf::new())),
            crt_dir: section.get(reader, "crt_dir", path),
            haproxy_crt_dir: section.get(reader, "haproxy_crt_dir", slot_text),
            crt_list: section.get(reader, "crt_list", slot_text),
            verify: section.get(reader, "verify", |value| one_or_more(value, parsed)).unwrap_or_default(),
            owner: section.get(reader, "owner", text),
            group: section.get(reader, "group", text),
            mode: section.get(reader, "mode", mode),
        };
        section.finish(reader);
        if let (Some(name), Some(_)) = (name, socket) {
            nodes.insert(name, node);
        }
    }
    nodes
}

fn certificates(
    top: &mut Section<'_>,
    reader: &mut Reader<'_>,
    issuers: &BTreeMap<String, Issuer>,
    solvers: &BTreeMap<String, Solver>,
    nodes: &BTreeMap<NodeName, Node>,
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
        let chosen_solver = section.get(reader, "solver", |value| {
            let name = text(value)?;
            of(solvers.keys().collect(), "solver", &name)?;
            Ok(solvers[&name].clone())
        });
        let keys = section
            .get(reader, "key", |value| match one_or_more(value, parsed::<KeyType>)? {
                keys if keys.is_empty() || keys.len() > 2 => Err("must be one key type, or two".to_owned()),
                keys => Ok(keys),
            })
            .unwrap_or_else(|| vec![KeyType::default()]);
        if keys.len() > 1 {
            not_yet(reader, &section.key("key"), "a second key kind");
        }
        let chosen_nodes = section.get(reader, "nodes", |value| {
            list(value, |value| {
                let name: NodeName = parsed(value)?;
                let known: Vec<_> = nodes.keys().map(ToString::to_string).collect();
                of(known.iter().collect(), "haproxy", name.as_str())?;
                Ok(name)
            })
        });
        if chosen_issuers.is_none() && issuers.len() != 1 && !section.was_wrong(reader, "issuers") {
            let what = if issuers.is_empty() {
                "no issuer is configured"
            } else {
                "several issuers are configured: say which"
            };
            section.problem(reader, "issuers", what);
        }
        if chosen_solver.is_none() && solvers.len() > 1 && !section.was_wrong(reader, "solver") {
            section.problem(reader, "solver", "several solvers are configured: say which");
        }
        // Every solver that there is answers http-01.
        if let Some(wildcard) = domains.iter().flatten().find(|domain| domain.is_wildcard()) {
            section.problem(reader, "domains", format!("{wildcard} is a wildcard, and http-01 cannot prove one"));
        }
        let certificate = (name.clone(), domains.clone());
        let order = Order {
            issuers: chosen_issuers.unwrap_or_else(|| issuers.values().take(1).cloned().collect()),
            solver: chosen_solver.or_else(|| solvers.values().next().cloned()).unwrap_or_else(Solver::default_listener),
            keys,
        };
        let rest = Certificate {
            name: name.unwrap_or_else(|| "invalid".parse().expect("it is a valid certificate name")),
            domains: domains.unwrap_or_default(),
            order: Some(order),
            nodes: chosen_nodes.unwrap_or_default(),
            crt_list: None,
            options: section.get(reader, "options", options),
            filters: section.get(reader, "filters", |value| list(value, filter)).unwrap_or_default(),
            publish: true,
        };
        if let (Some(name), Some(_)) = certificate {
            if let Some(line) = lines.insert(name.clone(), section.line(reader)) {
                section.problem(
                    reader,
                    "name",
                    format!("two certificates are named {name}: this one and that of line {line}"),
                );
            }
            certificates.insert(name, rest);
        }
        section.finish(reader);
    }
    certificates
}

fn watches(top: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<Watch> {
    let mut watches: Vec<Watch> = Vec::new();
    for mut section in top.array(reader, "watch") {
        let dir = section.require(reader, "dir", |value| {
            let dir = path(value)?;
            if !dir.is_absolute() {
                return Err("must be an absolute path".to_owned());
            }
            // Without `.` and slashes too many, so that one directory is written in one way.
            let dir: PathBuf = dir.components().collect();
            if watches.iter().any(|known| known.dir == dir) {
                return Err(format!("{} is watched already", dir.display()));
            }
            Ok(dir)
        });
        let layout = section.get(reader, "layout", parsed::<Layout>).unwrap_or_default();
        section.finish(reader);
        watches.extend(dir.map(|dir| Watch { dir, layout }));
    }
    watches
}

/// The most names that any known authority puts into one certificate.
const MOST_NAMES: usize = 100;

fn not_yet(reader: &mut Reader<'_>, key: &str, what: &str) {
    reader.warnings.push(format!("{key}: this version does not support {what} yet; the setting has no effect"));
}

pub(super) fn mail(value: &DeValue<'_>) -> Result<String, String> {
    let mail = text(value)?;
    check_mail(&mail)?;
    Ok(mail)
}

/// A mail address as authorities take it in a `mailto:` URL: no header fields, no list (RFC 8555, section 7.3).
pub(super) fn check_mail(mail: &str) -> Result<(), String> {
    let plain = mail.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,;<>\"".contains(&byte));
    match mail.split_once('@') {
        Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => Ok(()),
        _ => Err(format!("{mail:?} is no mail address")),
    }
}

/// Text that becomes part of a slot or the name of a list.
fn slot_text(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    text.parse::<Slot>().map_err(|error| error.reason.to_owned())?;
    Ok(text)
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

fn mode(value: &DeValue<'_>) -> Result<u32, String> {
    let text = text(value)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode & !WIDEST_MODE == 0 && mode & 0o400 != 0 => Ok(mode),
        Ok(_) => Err(format!("{text:?} is wider than 0640 or hides the file from its owner: it holds a private key")),
        Err(_) => Err(format!("{text:?} is no file mode: use octal digits, as in \"0640\"")),
    }
}

fn join(names: impl Iterator<Item = impl ToString>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
