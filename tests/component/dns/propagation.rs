//! Waiting for a record on every server of its zone.

use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hotcert::probe::dns::{Error, Resolver, txt_at};

use super::{of, run};
use crate::support::{Names, poll};

const RECORD: &str = "_acme-challenge.a.test";
/// Longer than any test takes when all is well.
const LONG: Duration = Duration::from_secs(30);

/// Two servers of a zone, and a resolver that knows them.
struct Zone {
    servers: [Names; 2],
    resolver: Names,
}

impl Zone {
    fn new() -> Self {
        let zone = Self { servers: [Names::start_at_port_53(1), Names::start_at_port_53(2)], resolver: Names::start() };
        let addresses = [("ns1.a.test", zone.servers[0].addr()), ("ns2.a.test", zone.servers[1].addr())];
        for names in zone.servers.iter().chain([&zone.resolver]) {
            names.set_zone("a.test", &addresses);
        }
        zone
    }

    fn propagated(&self, within: Duration) -> Result<(), Error> {
        let resolver = Resolver::new(&[self.resolver.addr()]);
        run(async move { resolver.propagated(&of(RECORD), "value", within).await })
    }
}

#[test]
fn the_zone_of_a_name_is_the_nearest_one() {
    let zone = Zone::new();
    let resolver = Resolver::new(&[zone.resolver.addr()]);
    run(async {
        for asked in ["a.test", RECORD, "x.y.a.test"] {
            let found = resolver.zone_of(&of(asked)).await.unwrap();
            assert_eq!(found.name, of("a.test"), "{asked}");
            let servers: Vec<_> = found.servers.iter().map(|server| (&server.name, &server.addresses[..])).collect();
            let (first, second) = (of("ns1.a.test"), of("ns2.a.test"));
            assert_eq!(servers, [(&first, &[zone.servers[0].addr()][..]), (&second, &[zone.servers[1].addr()][..])]);
        }
        // The server says that it has nothing in its own zone, of which this is no part.
        let error = resolver.zone_of(&of("b.example")).await.unwrap_err();
        assert!(matches!(error, Error::NoZone { .. }), "{error:?}");
    });
}

#[test]
fn a_record_is_awaited_on_every_server() {
    let zone = Zone::new();
    zone.servers[0].add_txt(RECORD, "value");
    zone.servers[1].add_txt(RECORD, "value of somebody else");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| zone.propagated(LONG));
        // Once the second server has been asked it gets the record.
        let was_asked = || (!zone.servers[1].asked().is_empty()).then_some(());
        poll(LONG, was_asked).unwrap();
        assert!(!waiting.is_finished());
        zone.servers[1].add_txt(RECORD, "value");
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(zone.servers[0].asked().len(), 1, "who has it is not asked again");
}

#[test]
fn servers_that_lack_a_record_are_named() {
    let zone = Zone::new();
    zone.servers[0].add_txt(RECORD, "value");
    let error = zone.propagated(Duration::from_secs(1)).unwrap_err();
    let text = error.to_string();
    let second = zone.servers[1].addr().to_string();
    assert!(text.contains("ns2.a.test") && text.contains(&second) && !text.contains("ns1.a.test"), "{text}");
}

#[test]
fn a_server_that_is_none_is_passed_over_once_all_others_have_the_record() {
    let zone = Zone::new();
    zone.servers[0].add_txt(RECORD, "value");
    zone.servers[1].set_code(RECORD, ResponseCode::Refused);
    let began = Instant::now();
    zone.propagated(LONG).unwrap();
    assert!(began.elapsed() < LONG / 2);
    assert!(zone.servers[1].asked().len() >= 3, "{:?}", zone.servers[1].asked());
    // One that does not know the zone is none either.
    run(async {
        let error = txt_at(Names::start().addr(), &of(RECORD)).await.unwrap_err();
        assert!(matches!(error, Error::Lame { .. }), "{error:?}");
    });
}

#[test]
fn where_no_server_can_be_asked_the_resolver_is() {
    let zone = Zone::new();
    zone.resolver.add_txt(RECORD, "value");
    for server in &zone.servers {
        server.set_code(RECORD, ResponseCode::Refused);
    }
    zone.propagated(LONG).unwrap();

    // The server of a test knows no zones.
    let names = Names::start();
    for host in [RECORD, "a.test", "test"] {
        names.set_code(host, ResponseCode::NotImp);
    }
    let resolver = Resolver::new(&[names.addr()]);
    let error = run(async { resolver.propagated(&of(RECORD), "value", Duration::from_millis(600)).await.unwrap_err() });
    assert!(error.to_string().contains("NOTIMP"), "{error}");
    let names = Names::start();
    names.add_txt(RECORD, "value");
    let resolver = Resolver::new(&[names.addr()]);
    run(async { resolver.propagated(&of(RECORD), "value", LONG).await.unwrap() });
}
