//! Waiting until a record is on every server of its zone.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use super::{Error, Resolver, Zone, txt_at};
use crate::model::{DnsName, chain};

/// The pause after the first look; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: servers take over a change within seconds, or by a timer of minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so many looks without an answer, a server is taken for one that does not answer anybody, or not us.
const LOOKS: u32 = 3;

/// What a server of the zone was seen to do.
struct Seen {
    server: DnsName,
    address: SocketAddr,
    state: State,
}

enum State {
    /// Not asked yet.
    New,
    /// It has the record.
    Has,
    /// It answers without it.
    Lacks,
    /// It did not answer, so many times.
    Silent(u32, Error),
}

impl Resolver {
    /// Waits until every server of the zone answers with a TXT record of this text. `name` is where it was put:
    /// [`Resolver::target_of`]. [`Error::NotPropagated`] names the servers that still lack it when the deadline has passed.
    ///
    /// A server that does not answer at all is passed over once all others have the record. Where none of them can be asked
    /// directly (a firewall), or the DNS does not tell who they are, the resolver is asked instead.
    pub async fn propagated(&self, name: &DnsName, value: &str, deadline: Duration) -> Result<(), Error> {
        let end = Instant::now() + deadline;
        match self.zone_of(name).await {
            Ok(zone) if zone.servers.iter().any(|server| !server.addresses.is_empty()) => {
                let mut seen = all_of(zone);
                let mut pauses = Pauses::until(end);
                loop {
                    look(&mut seen, name, value).await;
                    match judge(&seen) {
                        Verdict::Done => return Ok(()),
                        Verdict::Unheard => break,
                        Verdict::Wait if pauses.next().await => {}
                        Verdict::Wait => return Err(lacking(name, &seen, deadline)),
                    }
                }
                tracing::warn!(%name, "no server of the zone can be asked directly; the resolver is asked instead");
            }
            Ok(_) | Err(Error::NoZone { .. }) => {
                tracing::info!(%name, "the DNS does not tell the servers of the zone; the resolver is asked instead");
            }
            Err(error) => return Err(error),
        }
        self.known_to_resolver(name, value, end, deadline).await
    }

    async fn known_to_resolver(
        &self,
        name: &DnsName,
        value: &str,
        end: Instant,
        deadline: Duration,
    ) -> Result<(), Error> {
        let mut pauses = Pauses::until(end);
        loop {
            let does = match self.txt(name).await {
                Ok((_, texts)) if texts.iter().any(|text| text == value) => return Ok(()),
                Ok(_) => "answers without it".to_owned(),
                Err(error) => error.to_string(),
            };
            if !pauses.next().await {
                let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
                let lacking = vec![format!("the resolver {} {does}", servers.join(", "))];
                return Err(Error::NotPropagated { name: name.clone(), lacking, waited: deadline });
            }
        }
    }
}

/// Pauses that grow, until an instant.
struct Pauses {
    end: Instant,
    next: Duration,
}

impl Pauses {
    fn until(end: Instant) -> Self {
        Self { end, next: FIRST_PAUSE }
    }

    /// Waits; `false` when the time is up.
    async fn next(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.end {
            return false;
        }
        sleep_until((now + self.next).min(self.end)).await;
        self.next = (self.next * 3 / 2).min(LONGEST_PAUSE);
        true
    }
}

enum Verdict {
    Done,
    Wait,
    /// Nobody answers.
    Unheard,
}

fn judge(seen: &[Seen]) -> Verdict {
    let count = |is: fn(&State) -> bool| seen.iter().filter(|seen| is(&seen.state)).count();
    let has = count(|state| matches!(state, State::Has));
    let silent = count(|state| matches!(state, State::Silent(LOOKS.., _)));
    if has + silent < seen.len() {
        return Verdict::Wait;
    }
    if has == 0 {
        return Verdict::Unheard;
    }
    for seen in seen {
        if let State::Silent(_, error) = &seen.state {
            let (server, address) = (&seen.server, seen.address);
            tracing::warn!(%server, %address, error = %chain(&error), "a server of the zone is passed over");
        }
    }
    Verdict::Done
}

fn all_of(zone: Zone) -> Vec<Seen> {
    let of = |server: super::Server| {
        let name = server.name;
        server.addresses.into_iter().map(move |address| Seen { server: name.clone(), address, state: State::New })
    };
    zone.servers.into_iter().flat_map(of).collect()
}

/// Asks those that are not known to have it, and tells how many do when that has changed.
async fn look(seen: &mut [Seen], name: &DnsName, value: &str) {
    let before = have(seen);
    let is_first = seen.iter().any(|seen| matches!(seen.state, State::New));
    let looks = seen.iter_mut().filter(|seen| !matches!(seen.state, State::Has)).map(|seen| async {
        let looks = if let State::Silent(looks, _) = &seen.state { *looks } else { 0 };
        seen.state = match txt_at(seen.address, name).await {
            Ok(texts) if texts.iter().any(|text| text == value) => State::Has,
            Ok(_) => State::Lacks,
            // This machine may have no IPv6; that stays so.
            Err(error) if is_out_of_reach(&error) => State::Silent(LOOKS, error),
            Err(error) => State::Silent(looks + 1, error),
        };
    });
    join_all(looks).await;
    let (have, servers) = (have(seen), seen.len());
    if is_first || have != before {
        tracing::info!(%name, have, servers, "looking for the record on every server of its zone");
    }
}

fn have(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(seen.state, State::Has)).count()
}

fn is_out_of_reach(error: &Error) -> bool {
    let kinds = [ErrorKind::NetworkUnreachable, ErrorKind::AddrNotAvailable, ErrorKind::Unsupported];
    matches!(error, Error::Unheard { source: Some(error), .. } if kinds.contains(&error.kind()))
}

fn lacking(name: &DnsName, seen: &[Seen], waited: Duration) -> Error {
    let tell = |seen: &Seen| {
        let does = match &seen.state {
            State::Has => return None,
            State::New | State::Lacks => "answers without it".to_owned(),
            State::Silent(_, error) => error.to_string(),
        };
        Some(format!("{} ({}): {does}", seen.server, seen.address))
    };
    Error::NotPropagated { name: name.clone(), lacking: seen.iter().filter_map(tell).collect(), waited }
}
