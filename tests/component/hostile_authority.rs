//! An authority that says whatever does harm, at each step of an order: nothing wrong is ever stored, each error says what happened
//! and what to do, and once the authority is good again, so is everything.
//!
//! What users are told is in `tests/snapshots`, one entry for each text with the cases that lead to it.

mod bench;
mod cases;
mod certificates;
mod problems;
mod wire;

use crate::support::authority::Sent;
use bench::{Bench, alone};
use hotcert::acme;
use hotcert::renew::Error;
use serde_json::json;

#[test]
fn every_error_type_is_told_at_every_step_and_nothing_is_stored() {
    alone(|| Bench::of(problems::cases()).play("problems"));
}

#[test]
fn objects_that_are_not_what_was_asked_for_are_told_and_nothing_is_stored() {
    alone(|| Bench::of(cases::cases()).play("objects"));
}

#[test]
fn certificates_that_are_not_what_was_asked_for_are_told_and_nothing_is_stored() {
    alone(|| Bench::of(certificates::cases()).play("certificates"));
}

#[test]
fn answers_that_are_no_http_are_told_and_nothing_is_stored() {
    alone(|| Bench::of(wire::cases()).play("wire"));
}

#[test]
fn whatever_is_harmless_is_passed_over() {
    let bench = Bench::of(Vec::new());
    let text = "text before\n\n-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n";
    bench.succeeds("text before blocks", "/cert/", move |good| good.body(format!("{text}{}\nafter\n", good.body)));
    bench.succeeds("CRLF", "/cert/", |good| good.body(good.body.replace('\n', "\r\n")));
    bench.succeeds("links", "/cert/", |good| {
        let link = format!("Link: <{}/alternate>;rel=\"alternate\"\r\n", good.own);
        good.with(&format!("{}{}", good.head, link.repeat(80)), &good.body)
    });
    bench.succeeds("challenges that nobody knows", "/authz/", |good| {
        good.edited(|authorization| {
            let known = authorization["challenges"][0].clone();
            let url = known["url"].clone();
            let unknown = |kind: &str| json!({ "type": kind, "url": url, "status": "pending", "token": "../../etc" });
            authorization["challenges"] = json!([unknown("carrier-pigeon-01"), unknown("\u{1b}[31m"), known]);
        })
    });
    bench.succeeds("members that nobody knows", "/order/", |good| {
        good.edited(|order| {
            order["expires"] = json!("soon");
            order["notBefore"] = json!({ "a": [1] });
            order["autoRenewal"] = json!(7);
        })
    });
    for directory in bench.stored() {
        let stored = std::fs::read_to_string(directory.join("fullchain.pem")).unwrap();
        assert!(!stored.contains("text") && !stored.contains('\r') && !stored.contains("DH PARAMETERS"), "{stored}");
    }
}

#[test]
fn a_thousand_other_chains_are_not_all_looked_at_and_a_strange_one_is_not_taken() {
    let bench = Bench::of(Vec::new());
    let mut certificate = bench.certificate("chains");
    certificate.order.as_mut().unwrap().issuers[0].preferred_chain = Some("Elsewhere".to_owned());
    bench.authority.spoil("/cert/", |good| {
        let links = (0..1000).map(|number| format!("<{}/cert/{number}>;rel=\"alternate\"", good.own));
        let links = [links.collect::<Vec<_>>().join(", "), "<http://plain.test/>;rel=\"alternate\"".to_owned()];
        let head = format!("{}Link: {}\r\nLink: {}\r\n", good.head, links[1], links[0]);
        // Every other one looks as it is wished for, and is of somebody else.
        let mut params = rcgen::CertificateParams::new(["evil.test".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Elsewhere");
        let strange = params.self_signed(&crate::support::KeyType::EcdsaP256.generate()).unwrap().pem();
        good.with(&head, if good.body.is_empty() { &strange } else { &good.body })
    });
    bench.obtain(&certificate).unwrap();
    assert!((2..=9).contains(&bench.authority.asked_for("/cert/").len()), "{:?}", bench.authority.asked_for("/cert/"));
    let stored = bench.simulation.store.current(&certificate.name).unwrap().unwrap();
    assert!(stored.facts.names.contains(&certificate.domains[0]));
}

#[test]
fn an_order_that_is_not_ready_is_asked_for_its_status_and_finalised_again() {
    let bench = Bench::of(Vec::new());
    let refusals = std::sync::atomic::AtomicUsize::new(0);
    let name = bench.succeeds("not ready twice", "/finalize/", move |good| {
        if refusals.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2 {
            problems::problem(good, 403, "", "orderNotReady", "its authorizations are not valid yet")
        } else {
            good.body(&good.body)
        }
    });
    assert_eq!(bench.authority.orders_for(&name), 1);
}

#[test]
fn an_order_that_is_processed_for_ever_is_left_and_continued_by_the_next_attempt() {
    let bench = Bench::of(Vec::new());
    let certificate = bench.certificate("endless");
    bench.authority.spoil("/finalize/", |good| {
        let head = format!("{}Retry-After: 600\r\n", good.head);
        match good.edited(|order| order["status"] = json!("processing")) {
            Sent::Bytes(bytes) => {
                let text = String::from_utf8(bytes).unwrap();
                good.with(&head, text.split_once("\r\n\r\n").unwrap().1)
            }
            endless @ Sent::Endless(..) => endless,
        }
    });
    for _ in 0..2 {
        let error = bench.obtain(&certificate).unwrap_err();
        let Error::Acme { source, .. } = &error else { panic!("{error:?}") };
        assert!(
            matches!(source.as_ref(), acme::Error::OrderSlow { status: acme::Status::Processing, .. }),
            "{error:?}"
        );
        assert!(error.hint().unwrap().contains("continues this order"), "{error:?}");
        assert!(bench.simulation.store.has_journal(&certificate.name).unwrap());
        bench.authority.spoil("/order/", |good| {
            let body = good.body.replace("\"valid\"", "\"processing\"");
            good.with(&format!("{}Retry-After: 600\r\n", good.head), body)
        });
    }
    bench.authority.mend();
    bench.obtain(&certificate).unwrap();
    assert_eq!(bench.authority.orders_for(certificate.name.as_str()), 1);
}

#[test]
fn an_order_that_does_not_end_within_days_is_given_up() {
    let bench = Bench::of(Vec::new());
    let certificate = bench.certificate("patience");
    bench.authority.spoil("/cert/", |good| good.with("404 X\r\n", ""));
    bench.obtain(&certificate).unwrap_err();
    bench.obtain(&certificate).unwrap_err();
    assert_eq!(bench.authority.orders_for(certificate.name.as_str()), 1);
    bench.pass(jiff::SignedDuration::from_hours(49));
    bench.obtain(&certificate).unwrap_err();
    assert_eq!(bench.authority.orders_for(certificate.name.as_str()), 2);
    bench.authority.mend();
    bench.obtain(&certificate).unwrap();
    assert_eq!(bench.authority.orders_for(certificate.name.as_str()), 2);
}

#[test]
fn a_list_of_orders_without_end_is_left_after_some_pages() {
    let bench = Bench::of(Vec::new());
    let certificate = bench.certificate("list");
    // Nobody knows whether there is an order.
    bench.authority.spoil("/order", |_| Sent::Bytes(Vec::new()));
    bench.obtain(&certificate).unwrap_err();
    assert!(bench.simulation.store.has_journal(&certificate.name).unwrap());
    bench.authority.forget();
    bench.authority.spoil("/account/", |good| {
        let own = good.own;
        let order = format!("{own}/account/1/orders");
        let next = format!("200 X\r\nContent-Type: application/json\r\nLink: <{own}{}>;rel=\"next\"\r\n", good.path);
        good.with(&next, json!({ "status": "valid", "orders": if good.path.ends_with("orders") { json!([order, "\u{1b}", "/x"]) } else { json!(order) } }).to_string())
    });
    bench.obtain(&certificate).unwrap();
    let pages = bench.authority.asked_for("/account/1/orders").len();
    assert!((5..=40).contains(&pages), "{pages}");
}

#[test]
fn a_body_of_100_megabytes_is_not_taken_in() {
    let bench = Bench::of(Vec::new());
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    bench.succeeds("warm", "/none", |good| good.body(""));
    for (path, head) in [
        ("/dir/", "Content-Length: 104857600\r\n\r\n"),
        ("/order", "Content-Length: 104857600\r\n\r\n"),
        ("/cert/", "Transfer-Encoding: chunked\r\n\r\n"),
    ] {
        let certificate = bench.certificate(&format!("large{}", path.len()));
        let before = peak();
        bench.authority.spoil(path, move |good| {
            let chunk = if head.contains("chunked") {
                format!("10000\r\n{}\r\n", " ".repeat(65536))
            } else {
                " ".repeat(65536)
            };
            Sent::Endless(format!("HTTP/1.1 {}{}{head}", good.head, good.common).into_bytes(), chunk.into_bytes())
        });
        let error = bench.obtain(&certificate).unwrap_err();
        assert!(bench::told(&error).0.contains("longer than 1048576 bytes"), "{error:?}");
        let grown = peak() - before;
        println!("{path}: the process grew by {grown} kB");
        assert!(grown < 6 * 1024, "{path}: {grown} kB");
        bench.authority.mend();
    }
}
