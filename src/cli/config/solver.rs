//! How challenges are to be answered: as flags say, else as `HAProxy`'s configuration has it already.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::Advice;
use crate::config::{Method, OrderFlags, Solver, Via};
use crate::host::{Answerer, Instance, Listen};

/// How long somebody at an address of this machine may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// Takes over what `HAProxy` does with challenges, where hotcert can do its part.
pub(super) fn adopt<'a>(
    solver: &mut Solver,
    flags: &OrderFlags,
    instances: impl Iterator<Item = &'a Instance>,
    notes: &mut Vec<Advice>,
) {
    let is_given = flags.http_01_listen.is_some()
        || flags.http_01_map.is_some()
        || flags.http_01_stateless
        || flags.webroot.is_some()
        || flags.tls_alpn_01_listen.is_some();
    if is_given {
        return;
    }
    let mut chosen: Option<Via> = None;
    for instance in instances {
        for road in instance.configuration.roads() {
            let place = &road.line.place;
            let via = match &road.to {
                Answerer::Backend { servers, .. } => match servers.iter().find_map(|server| here(server, instance)) {
                    Some(listen) if is_taken(listen) => {
                        notes.push(Advice::new(
                            format!("{place} leads challenges to {listen}, where another program answers"),
                            "end that program if hotcert shall take its place, and set listen to its address",
                        ));
                        continue;
                    }
                    Some(listen) => Via::Listener { listen },
                    None => {
                        notes.push(Advice::new(
                            format!("{place} leads challenges to a server that is not on this machine"),
                            "`hotcert config haproxy` prints the lines that lead them to hotcert",
                        ));
                        continue;
                    }
                },
                Answerer::Map(map) => Via::HaproxyMap { map: map.clone() },
                Answerer::Thumbprint(_) | Answerer::Other => {
                    notes.push(Advice::new(
                        format!("HAProxy answers challenges by itself ({place}), for the account of another program"),
                        "`hotcert config haproxy` prints the lines that lead them to hotcert",
                    ));
                    continue;
                }
            };
            if chosen.as_ref().is_some_and(|chosen| *chosen != via) {
                notes.push(Advice::new(
                    format!("{place} leads challenges elsewhere than the rules before it"),
                    "let all lead to one place, which is what the solver says",
                ));
            }
            chosen.get_or_insert(via);
        }
    }
    if let Some(via) = chosen {
        solver.method = Method::Http01(via);
    }
}

/// A server's address, if hotcert can listen there.
fn here(server: &Listen, instance: &Instance) -> Option<SocketAddr> {
    let authority = instance.authority(server)?;
    let address: IpAddr = authority.host.parse().ok()?;
    address.is_loopback().then_some(SocketAddr::new(address, authority.port))
}

fn is_taken(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, DEADLINE).is_ok()
}
