//! JSON objects that are other than RFC 8555 has them, or about something else.

use serde_json::{Value, json};

use super::bench::Case;
use super::problems::STEPS;
use crate::support::authority::{Good, Sent};

/// Bodies that are no object of any step.
const BODIES: [(&str, &str); 8] = [
    ("nothing", ""),
    ("null", "null"),
    ("a list", "[]"),
    ("a text", "\"\u{1b}[31m\""),
    ("an empty object", "{}"),
    ("half an object", "{\"status\":"),
    ("two objects", "{}{}"),
    (
        "numbers for texts",
        r#"{"status":1,"identifiers":2,"authorizations":3,"finalize":4,"newNonce":5,"challenges":6}"#,
    ),
];

/// URLs that are not to be followed.
const URLS: [&str; 7] = [
    "",
    "/relative",
    "http://127.0.0.1/plain",
    "ftp://ca.test/",
    "https://",
    "file:///etc/passwd",
    "https://a b\u{1b}/\n",
];

fn edited(name: impl Into<String>, path: &'static str, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Case {
    Case::new(name, path, move |good| good.edited(&edit))
}

/// The object with a member twice, the second time with another value.
fn doubled(good: &Good<'_>, member: &str, value: &Value) -> Sent {
    let body = good.body.strip_suffix("}").unwrap();
    good.body(format!("{body},\"{member}\":{value}}}"))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (step, path) in STEPS {
        if ["newNonce", "newAccount", "certificate"].contains(&step) {
            continue;
        }
        for (what, body) in BODIES {
            if step != "newOrder" && !["nothing", "an empty object", "numbers for texts"].contains(&what) {
                continue;
            }
            cases.push(Case::new(format!("{step}: {what}"), path, move |good| good.body(body)));
        }
        cases.push(Case::new(format!("{step}: 100,000 lists in each other"), path, |good| {
            good.body("[".repeat(100_000))
        }));
    }
    cases.push(Case::new("newOrder: not UTF-8", "/order", |good| good.body([0xff, 0xfe, 0x00, 0x7b])));
    for member in ["newNonce", "newAccount", "newOrder", "renewalInfo"] {
        for url in if member == "newNonce" { &URLS[..] } else { &URLS[1..3] } {
            cases.push(edited(format!("directory: {member} {}", url.escape_debug()), "/dir/", move |directory| {
                directory[member] = json!(url);
            }));
        }
    }
    cases.push(edited("directory: terms that drive a terminal", "/dir/", |directory| {
        directory["meta"] = json!({ "externalAccountRequired": true, "termsOfService": "\u{1b}[31m\u{202e}" });
    }));
    cases.push(Case::new("newNonce: no nonce", "/nonce", |good| {
        Sent::Bytes(
            format!("HTTP/1.1 200 X\r\n{}Content-Length: 0\r\n\r\n", good.common.replace("Replay-Nonce", "X")).into(),
        )
    }));
    for (step, path) in [("newAccount", "/account"), ("newOrder", "/order")] {
        let locations =
            ["", "/relative", "http://127.0.0.1/1", "https://", "https://ca.test/\u{ff}\u{1}", "javascript:alert(1)"];
        for location in locations.into_iter().take(if step == "newOrder" { locations.len() } else { 2 }) {
            cases.push(Case::new(format!("{step}: Location: {}", location.escape_debug()), path, move |good| {
                good.with(&format!("201 X\r\nContent-Type: application/json\r\nLocation: {location}\r\n"), &good.body)
            }));
        }
        cases.push(Case::new(format!("{step}: no Location"), path, |good| {
            good.with("201 X\r\nContent-Type: application/json\r\n", &good.body)
        }));
        cases.push(Case::new(format!("{step}: Location of 5,000 bytes"), path, |good| {
            let url = format!("https://ca.test/{}", "x".repeat(5000));
            good.with(&format!("201 X\r\nContent-Type: application/json\r\nLocation: {url}\r\n"), &good.body)
        }));
    }
    cases.extend(orders());
    cases.extend(authorizations());
    cases
}

fn orders() -> Vec<Case> {
    let mut cases = Vec::new();
    let others: [(&str, Value); 6] = [
        ("other names", json!([{ "type": "dns", "value": "evil.test" }])),
        ("no names", json!([])),
        ("names that drive a terminal", json!([{ "type": "dns", "value": "\u{1b}[31m\u{202e}evil" }])),
        ("a name of another type", json!([{ "type": "ip", "value": "192.0.2.1" }])),
        ("3,000 names", json!(vec![json!({ "type": "dns", "value": "evil.test" }); 3000])),
        ("names that are none", json!("evil.test")),
    ];
    for (what, names) in others {
        for (step, path) in [("newOrder", "/order"), ("poll", "/order/"), ("finalize", "/finalize/")] {
            if step != "newOrder" && what != "other names" {
                continue;
            }
            let names = names.clone();
            cases.push(edited(format!("{step}: {what}"), path, move |order| order["identifiers"] = names.clone()));
        }
    }
    cases.push(edited("newOrder: one name more", "/order", |order| {
        let names = order["identifiers"].as_array_mut().unwrap();
        names.push(json!({ "type": "dns", "value": "evil.test" }));
    }));
    for url in &URLS[..3] {
        cases.push(edited(format!("newOrder: authorization at {}", url.escape_debug()), "/order", move |order| {
            order["authorizations"] = json!([url]);
        }));
        cases.push(edited(format!("newOrder: finalize at {}", url.escape_debug()), "/order", move |order| {
            order["finalize"] = json!(url);
        }));
        cases.push(edited(format!("finalize: certificate at {}", url.escape_debug()), "/finalize/", move |order| {
            order["certificate"] = json!(url);
        }));
    }
    // Other hosts are asked, over https; nobody listens there.
    cases.push(edited("newOrder: authorization at another host", "/order", |order| {
        order["authorizations"] = json!(["https://127.0.0.1:9/x"]);
    }));
    cases.push(edited("poll: finalize at another host", "/order/", |order| {
        order["finalize"] = json!("https://127.0.0.1:9/x");
    }));
    cases.push(edited("finalize: certificate at another host", "/finalize/", |order| {
        order["certificate"] = json!("https://127.0.0.1:9/x");
    }));
    cases.push(edited("newOrder: 5,000 authorizations", "/order", |order| {
        order["authorizations"] = json!(vec!["https://ca.test/authz"; 5000]);
    }));
    for status in ["unheard-of", "", "\u{1b}[31m"] {
        cases.push(edited(
            format!("newOrder: status {:?}", status.escape_debug().to_string()),
            "/order",
            move |order| {
                order["status"] = json!(status);
            },
        ));
    }
    cases.push(edited("newOrder: valid at once, without a certificate", "/order", |order| {
        order["status"] = json!("valid");
    }));
    cases.push(edited("newOrder: invalid at once", "/order", |order| order["status"] = json!("invalid")));
    cases.push(edited("finalize: valid, without a certificate", "/finalize/", |order| {
        order.as_object_mut().unwrap().remove("certificate");
    }));
    cases.push(Case::new("newOrder: a status that stands there twice", "/order", |good| {
        doubled(good, "status", &json!("valid"))
    }));
    cases.push(Case::new("newOrder: another certificate's order", "/order", |good| {
        // It exists, is valid, and is somebody else's.
        good.with(&format!("{}X-Other: 1\r\n", good.head), good.body.replace(".test", ".other.test"))
    }));
    cases
}

fn authorizations() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, value) in [
        ("another name", json!({ "type": "dns", "value": "evil.test" })),
        ("a parent of the name", json!({ "type": "dns", "value": "test" })),
        ("an address", json!({ "type": "ip", "value": "192.0.2.1" })),
        ("no name", json!({ "type": "dns", "value": "\u{1b}[31m" })),
        ("a type of name that nobody knows", json!({ "type": "email", "value": "a@evil.test" })),
    ] {
        cases.push(edited(format!("authorization: for {what}"), "/authz/", move |authorization| {
            authorization["identifier"] = value.clone();
        }));
    }
    cases.push(edited("authorization: for a wildcard of the name", "/authz/", |authorization| {
        authorization["wildcard"] = json!(true);
    }));
    for url in &URLS[..3] {
        cases.push(edited(
            format!("authorization: challenge at {}", url.escape_debug()),
            "/authz/",
            move |authorization| {
                authorization["challenges"][0]["url"] = json!(url);
            },
        ));
    }
    cases.push(edited("authorization: challenge at another host", "/authz/", |authorization| {
        authorization["challenges"][0]["url"] = json!("https://127.0.0.1:9/x");
    }));
    let long = "x".repeat(10_000);
    for token in [
        "",
        "..",
        "../../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "a\r\nX: y",
        "a;show info",
        "a\0b",
        "%2e%2e",
        "$(id)",
        "a=",
        "\u{202e}evil",
        "<<",
        &long,
    ] {
        let token = token.to_owned();
        let shown: String = token.escape_debug().to_string().chars().take(30).collect();
        cases.push(edited(format!("authorization: token {shown}"), "/authz/", move |authorization| {
            authorization["challenges"][0]["token"] = json!(token);
        }));
    }
    cases.push(edited("authorization: only challenges that nobody knows", "/authz/", |authorization| {
        authorization["challenges"][0]["type"] = json!("carrier-pigeon-01\u{1b}[31m");
        let mut other = authorization["challenges"][0].clone();
        other["type"] = json!("dns-01");
        authorization["challenges"].as_array_mut().unwrap().push(other);
    }));
    cases.push(edited("authorization: no challenge", "/authz/", |authorization| {
        authorization["challenges"] = json!([]);
    }));
    cases.push(edited("authorization: 3,000 kinds of challenges", "/authz/", |authorization| {
        let known = authorization["challenges"][0].clone();
        let kinds = (0..3000).map(|number| {
            let mut challenge = known.clone();
            challenge["type"] = json!(format!("kind-{number}"));
            challenge
        });
        authorization["challenges"] = kinds.collect();
    }));
    cases.push(Case::new("authorization: a name that stands there twice", "/authz/", |good| {
        doubled(good, "identifier", &json!({ "type": "dns", "value": "evil.test" }))
    }));
    cases
}
