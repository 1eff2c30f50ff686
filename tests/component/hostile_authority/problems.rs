//! Refusals: each error type (RFC 8555, section 6.7; RFC 9773, section 7.4; draft-ietf-acme-profiles, section 6), with whatever
//! stands beside it.

use serde_json::{Value, json};

use super::bench::Case;
use crate::support::authority::{Good, Sent};

/// Error types with the status that fits them.
const TYPES: [(&str, u16); 28] = [
    ("accountDoesNotExist", 400),
    ("alreadyReplaced", 409),
    ("alreadyRevoked", 400),
    ("badCSR", 400),
    ("badNonce", 400),
    ("badPublicKey", 400),
    ("badRevocationReason", 400),
    ("badSignatureAlgorithm", 400),
    ("caa", 403),
    ("compound", 400),
    ("connection", 400),
    ("dns", 400),
    ("externalAccountRequired", 403),
    ("incorrectResponse", 403),
    ("invalidContact", 400),
    ("invalidProfile", 400),
    ("malformed", 400),
    ("orderNotReady", 403),
    ("rateLimited", 429),
    ("rejectedIdentifier", 400),
    ("serverInternal", 500),
    ("tls", 400),
    ("unauthorized", 403),
    ("unsupportedContact", 400),
    ("unsupportedIdentifier", 400),
    ("userActionRequired", 403),
    ("onionCAARequired", 403),
    ("weather\u{1b}[31m\u{202e}", 418),
];

/// Those that an authority may meet anywhere.
const ANYWHERE: [(&str, u16); 2] = [("rateLimited", 429), ("unauthorized", 403)];

/// Those that say something about a certificate.
const AT_FINALIZE: [&str; 6] = ["badCSR", "badNonce", "badPublicKey", "caa", "rateLimited", "unauthorized"];

/// The steps of an order.
pub(crate) const STEPS: [(&str, &str); 9] = [
    ("directory", "/dir/"),
    ("newNonce", "/nonce"),
    ("newAccount", "/account"),
    ("newOrder", "/order"),
    ("authorization", "/authz/"),
    ("challenge", "/chall/"),
    ("poll", "/order/"),
    ("finalize", "/finalize/"),
    ("certificate", "/cert/"),
];

/// What would make a terminal do things.
const DETAIL: &str = "no\u{1b}]0;pwned\u{7}\u{1b}[2J\r\nerror: \u{202e}gnp\u{2066}\u{feff} because";

pub(crate) fn problem(good: &Good<'_>, status: u16, headers: &str, kind: &str, detail: &str) -> Sent {
    document(good, status, headers, &json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }))
}

fn document(good: &Good<'_>, status: u16, headers: &str, document: &Value) -> Sent {
    good.with(&format!("{status} X\r\nContent-Type: application/problem+json\r\n{headers}"), document.to_string())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, status) in TYPES {
        for (step, path) in [("newOrder", "/order"), ("finalize", "/finalize/")] {
            if step == "finalize" && !AT_FINALIZE.contains(&kind) {
                continue;
            }
            cases.push(Case::new(format!("{step}: {}", kind.escape_debug()), path, move |good| {
                problem(good, status, "", kind, DETAIL)
            }));
        }
    }
    for (step, path) in STEPS {
        for (kind, status) in ANYWHERE {
            // The answer to HEAD has no body.
            if !["newNonce", "newOrder", "finalize"].contains(&step) {
                cases.push(Case::new(format!("{step}: {kind}"), path, move |good| {
                    problem(good, status, "", kind, DETAIL)
                }));
            }
        }
    }
    cases.push(Case::new("newNonce: status 403 without a body", "/nonce", |good| good.with("403 X\r\n", "")));
    for value in [
        "0",
        "60",
        "86400",
        "9999999999",
        "18446744073709551615",
        "99999999999999999999999",
        "-1",
        "1.5",
        "soon",
        "",
        "\u{7f}",
    ] {
        cases.push(Case::new(format!("newOrder: rateLimited, Retry-After: {value:?}"), "/order", move |good| {
            problem(good, 429, &format!("Retry-After: {value}\r\n"), "rateLimited", "too many")
        }));
    }
    for value in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        cases.push(Case::new(format!("newOrder: rateLimited, Retry-After: {value}"), "/order", move |good| {
            problem(good, 429, &format!("Retry-After: {value}\r\n"), "rateLimited", "too many")
        }));
    }
    for value in ["600", "18446744073709551615"] {
        cases.push(Case::new(format!("newOrder: 503, Retry-After: {value}"), "/order", move |good| {
            good.with(&format!("503 X\r\nContent-Type: text/html\r\nRetry-After: {value}\r\n"), "<h1>busy</h1>")
        }));
        // The library would panic over it.
        cases.push(Case::new(format!("poll: a pending order, Retry-After: {value}"), "/order/", move |good| {
            good.with(&format!("{}Retry-After: {value}\r\n", good.head), good.body.replace("\"ready\"", "\"pending\""))
        }));
    }
    cases.extend(documents());
    cases.extend(statuses());
    cases
}

/// Problem documents that are odd.
fn documents() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.push(Case::new("newOrder: rateLimited with a link", "/order", |good| {
        problem(good, 429, "", "rateLimited", "visit https://ca.test/sfe/v1/unpause?jwt=abc")
    }));
    cases.push(Case::new("newOrder: 429 without a document", "/order", |good| good.with("429 X\r\n", "")));
    cases.push(Case::new("newOrder: 503 for ever", "/order", |good| good.with("503 X\r\nRetry-After: 0\r\n", "")));
    cases.push(Case::new("newOrder: subproblems", "/order", |good| {
        let sub = |name: &str| {
            let kind = "urn:ietf:params:acme:error:rejectedIdentifier";
            json!({ "type": kind, "detail": DETAIL, "identifier": { "type": "dns", "value": name } })
        };
        let subproblems =
            [sub("a.test"), sub("xn--bcher-kva.test"), sub("a\u{1b}[31m"), json!({ "type": "x".repeat(5000) })];
        let kind = "urn:ietf:params:acme:error:compound";
        document(
            good,
            400,
            "",
            &json!({ "type": kind, "detail": "some names are refused", "subproblems": subproblems }),
        )
    }));
    cases.push(Case::new("newOrder: 2000 subproblems", "/order", |good| {
        let sub = json!({ "type": "caa", "detail": "x", "identifier": { "type": "dns", "value": "b.test" } });
        document(good, 400, "", &json!({ "type": "compound", "detail": "x", "subproblems": vec![sub; 2000] }))
    }));
    cases.push(Case::new("newOrder: a text of 500 kB", "/order", |good| {
        document(good, 400, "", &json!({ "type": "x".repeat(1000), "detail": "y".repeat(500_000) }))
    }));
    for (what, body) in [
        ("no document", "{}"),
        ("a list", "[]"),
        ("a number for a type", r#"{"type":1,"detail":"x"}"#),
        ("a list for a text", r#"{"type":"x","detail":[]}"#),
        ("no JSON", "{"),
    ] {
        cases.push(Case::new(format!("newOrder: 400 with {what}"), "/order", move |good| {
            good.with("400 X\r\nContent-Type: application/problem+json\r\n", body)
        }));
    }
    cases
}

/// What has failed in the end.
fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.push(Case::new("authorization: invalid, with a reason", "/authz/", |good| {
        good.edited(|authorization| {
            authorization["status"] = json!("invalid");
            authorization["challenges"][0]["status"] = json!("invalid");
            let kind = "urn:ietf:params:acme:error:connection";
            authorization["challenges"][0]["error"] = json!({ "type": kind, "detail": DETAIL });
        })
    }));
    for status in ["expired", "deactivated", "revoked"] {
        cases.push(Case::new(format!("authorization: {status}"), "/authz/", move |good| {
            good.edited(|authorization| authorization["status"] = json!(status))
        }));
    }
    cases.push(Case::new("finalize: invalid, with a reason", "/finalize/", |good| {
        good.edited(|order| {
            order["status"] = json!("invalid");
            order["error"] = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": DETAIL });
        })
    }));
    cases.push(Case::new("poll: invalid, without a reason", "/order/", |good| {
        good.edited(|order| order["status"] = json!("invalid"))
    }));
    cases
}
