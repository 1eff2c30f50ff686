//! What the DNS is asked and understood to say, against a server that says what it is told.

mod any_bytes;
mod propagation;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::support::Names;
use crate::support::names::name;
use crate::support::net::Port;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{AAAA, CAA, CNAME};
use hickory_proto::rr::{Name, RData, RecordType};
use hotcert::model::DnsName;
use hotcert::probe::dns::{Error, Resolver};

fn of(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn issue(authority: &str) -> RData {
    RData::CAA(CAA::new_issue(false, Some(name(authority)), Vec::new()))
}

#[test]
fn addresses_of_both_families_are_found_behind_aliases() {
    let names = Names::start();
    names.add_alias("www.a.test", "front.b.test");
    names.add_alias("front.b.test", "a.test");
    names.add_address("a.test", "192.0.2.1:0".parse().unwrap());
    names.add("a.test", RData::AAAA(AAAA("2001:db8::1".parse().unwrap())));
    names.add_txt("text.test", "x");
    let resolver = Resolver::new(&[names.addr()]);
    run(async {
        let expected: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        assert_eq!(resolver.addresses(&of("www.a.test")).await.unwrap(), expected);
        assert_eq!(resolver.addresses(&of("text.test")).await.unwrap(), [] as [IpAddr; 0]);
        let missing = resolver.addresses(&of("missing.test")).await.unwrap_err();
        assert!(matches!(missing, Error::NoSuchName { .. }), "{missing:?}");
    });
}

#[test]
fn the_records_of_the_nearest_name_admit_authorities() {
    let names = Names::start();
    names.add("b.test", issue("parent.test"));
    names.add("own.a.b.test", issue("own.test"));
    names.add_alias("alias.b.test", "own.a.b.test");
    names.add_alias("empty.b.test", "nothing.c.test");
    names.add_address("a.b.test", "192.0.2.1:0".parse().unwrap());
    let resolver = Resolver::new(&[names.addr()]);
    run(async {
        for (asked, at, value) in [
            ("x.a.b.test", "b.test", "parent.test."),
            ("own.a.b.test", "own.a.b.test", "own.test."),
            ("alias.b.test", "own.a.b.test", "own.test."),
            // What is above the target of an alias does not count (RFC 8659, section 3).
            ("empty.b.test", "b.test", "parent.test."),
        ] {
            let set = resolver.caa(&of(asked)).await.unwrap().unwrap();
            assert_eq!((set.at.as_str(), set.records[0].value.as_str()), (at, value), "{asked}");
        }
        assert_eq!(resolver.caa(&of("c.test")).await.unwrap(), None);
    });
}

#[test]
fn a_challenge_is_looked_for_where_it_is_delegated_to() {
    let names = Names::start();
    names.add_alias("_acme-challenge.a.test", "0a-b_c.acme.test");
    names.add_alias("0a-b_c.acme.test", "Last.ACME.test");
    names.add_txt("last.acme.test", "x");
    let resolver = Resolver::new(&[names.addr()]);
    run(async {
        assert_eq!(resolver.target_of(&of("_acme-challenge.a.test")).await.unwrap(), of("last.acme.test"));
        assert_eq!(resolver.target_of(&of("_acme-challenge.b.test")).await.unwrap(), of("_acme-challenge.b.test"));
        let (at, texts) = resolver.txt(&of("_acme-challenge.a.test")).await.unwrap();
        assert_eq!((at, texts), (of("last.acme.test"), vec!["x".to_owned()]));
    });
}

#[test]
fn aliases_that_lead_nowhere_are_an_error() {
    let names = Names::start();
    names.add_alias("loop.test", "pool.test");
    names.add_alias("pool.test", "loop.test");
    names.add_alias("self.test", "self.test");
    for link in 0..40 {
        names.add_alias(&format!("{link}.chain.test"), &format!("{}.chain.test", link + 1));
    }
    let odd = Name::from_labels([b"a\x1b[31m; rm -rf".as_slice(), b"test"]).unwrap();
    names.add("odd.test", RData::CNAME(CNAME(odd)));
    let resolver = Resolver::new(&[names.addr()]);
    run(async {
        for endless in ["loop.test", "self.test", "0.chain.test"] {
            let asked = of(endless);
            for error in [
                resolver.target_of(&asked).await.unwrap_err(),
                resolver.txt(&asked).await.unwrap_err(),
                resolver.caa(&asked).await.unwrap_err(),
                resolver.addresses(&asked).await.unwrap_err(),
            ] {
                assert!(matches!(error, Error::Endless { .. }), "{endless}: {error:?}");
            }
        }
        let error = resolver.target_of(&of("odd.test")).await.unwrap_err();
        assert!(matches!(error, Error::OddTarget { .. }), "{error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    });
    assert!(names.asked().len() < 200, "{}", names.asked().len());
}

#[test]
fn a_server_that_fails_is_told_from_one_that_is_silent() {
    let names = Names::start();
    names.set_code("servfail.test", ResponseCode::ServFail);
    names.set_code("refused.test", ResponseCode::Refused);
    names.set_silent("silent.test");
    names.add_txt("a.test", "x");
    let nobody = Port::reserve_with_udp().addr();
    run(async {
        let resolver = Resolver::new(&[nobody, names.addr()]);
        assert_eq!(resolver.txt(&of("a.test")).await.unwrap().1, ["x"], "the next server is asked");
        for (asked, code) in [("servfail.test", "SERVFAIL"), ("refused.test", "REFUSED")] {
            let error = resolver.caa(&of(asked)).await.unwrap_err();
            assert!(error.to_string().contains(code) && !error.is_unheard(), "{error}");
        }
        let began = Instant::now();
        let silent = Resolver::new(&[names.addr()]).txt(&of("silent.test")).await.unwrap_err();
        assert!(silent.is_unheard() && began.elapsed() < Duration::from_secs(8), "{silent} {:?}", began.elapsed());
        let error = Resolver::new(&[nobody]).txt(&of("a.test")).await.unwrap_err();
        assert!(error.is_unheard() && error.to_string().contains(&nobody.to_string()), "{error}");
    });
}

#[test]
fn a_long_answer_comes_by_a_connection() {
    let names = Names::start();
    let long = "x".repeat(5000);
    names.add_txt("a.test", &long);
    run(async {
        assert_eq!(Resolver::new(&[names.addr()]).txt(&of("a.test")).await.unwrap().1, [long]);
    });
    assert_eq!(names.asked(), [("a.test".to_owned(), RecordType::TXT), ("a.test".to_owned(), RecordType::TXT)]);
}
