//! `[solver.NAME]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::read::{Reader, Section, parsed, path, text};
use super::super::{DEFAULT_LISTEN, Solver, Via};

pub(super) fn solvers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Solver> {
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
