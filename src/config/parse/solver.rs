//! `[solver.NAME]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::read::{Reader, Section, one_or_more, parsed, path, text};
use super::super::{DEFAULT_ALPN_LISTEN, DEFAULT_LISTEN, Method, Solver, Via};
use super::dns;
use crate::model::ChallengeKind;

pub(super) fn solvers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Solver> {
    let mut solvers = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "solver") {
        let kind = section.require(reader, "type", |value| {
            text(value)?
                .parse::<ChallengeKind>()
                .map_err(|_| "must be http-01, tls-alpn-01, dns-01 or dns-persist-01".to_owned())
        });
        let method = kind.and_then(|kind| match kind {
            ChallengeKind::Http01 => http01(&mut section, reader).map(Method::Http01),
            ChallengeKind::TlsAlpn01 => {
                Some(Method::TlsAlpn01 { listen: section.get_or(reader, "listen", DEFAULT_ALPN_LISTEN, parsed) })
            }
            ChallengeKind::Dns01 => dns::dns01(&mut section, reader).map(Method::Dns01),
            ChallengeKind::DnsPersist01 => Some(Method::DnsPersist01),
        });
        let names = section.get(reader, "names", |value| one_or_more(value, parsed)).unwrap_or_default();
        // There is nothing to connect to for a record of the DNS.
        let probe = match method {
            Some(Method::Dns01(_) | Method::DnsPersist01) => None,
            _ => section.get(reader, "probe", parsed),
        };
        section.finish(reader);
        if let Some(method) = method {
            solvers.insert(name.clone(), Solver { name, method, names, probe });
        }
    }
    solvers
}

fn http01(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Via> {
    let via = section.get_or(reader, "via", "listener".to_owned(), text);
    match via.as_str() {
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
    }
}
