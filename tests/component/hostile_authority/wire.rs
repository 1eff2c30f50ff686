//! Answers that are no HTTP, that are somebody else's, or that do not end.

use super::bench::Case;
use super::problems::STEPS;
use crate::support::authority::Sent;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (step, path) in STEPS {
        let mut add = |what: &str, spoil: fn(&crate::support::authority::Good<'_>) -> Sent| {
            cases.push(Case::new(format!("{step}: {what}"), path, spoil));
        };
        add("a redirect to another host", |good| good.with("307 X\r\nLocation: https://evil.test/x\r\n", ""));
        add("a page for people", |good| good.with("200 X\r\nContent-Type: text/html\r\n", "<h1>Log in</h1>"));
        add("closed in the middle of the headers", |good| {
            Sent::Bytes(format!("HTTP/1.1 {}{}", good.head, good.common).into())
        });
        if ["authorization", "finalize", "certificate"].contains(&step) {
            add("closed in the middle of the body", |good| {
                let Sent::Bytes(bytes) = good.body(&good.body) else { unreachable!("it is whole") };
                Sent::Bytes(bytes[..bytes.len() - good.body.len() / 2 - 1].to_vec())
            });
        }
    }
    let mut add = |what: &str, spoil: fn(&crate::support::authority::Good<'_>) -> Sent| {
        cases.push(Case::new(format!("newOrder: {what}"), "/order", spoil));
    };
    add("status 502 of a proxy", |good| good.with("502 X\r\nContent-Type: text/html\r\n", "<h1>Bad gateway</h1>"));
    add("closed at once", |_| Sent::Bytes(Vec::new()));
    add("status 404 without a document", |good| good.with("404 X\r\nContent-Type: text/plain\r\n", "no"));
    add("status 304", |good| good.with("304 X\r\n", ""));
    add("a redirect without a place", |good| good.with("301 X\r\n", ""));
    add("a redirect to itself", |good| good.with(&format!("308 X\r\nLocation: {}{}\r\n", good.own, good.path), ""));
    add("status 999", |good| good.with("999 X\r\n", "{}"));
    add("no HTTP", |_| Sent::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    add("random bytes", |_| {
        Sent::Bytes((0..4096_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect())
    });
    add("headers without end", |good| {
        Sent::Endless(format!("HTTP/1.1 {}", good.head).into(), "X-Filler: 0123456789\r\n".repeat(1000).into())
    });
    add("a header without end", |_| Sent::Endless(b"HTTP/1.1 200 X\r\nX: ".to_vec(), vec![b'x'; 65536]));
    add("chunks that are none", |good| {
        Sent::Bytes(format!("HTTP/1.1 {}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{{}}\r\n", good.head).into())
    });
    add("a chunk of more bytes than there are", |good| {
        let head = &good.head;
        Sent::Bytes(
            format!("HTTP/1.1 {head}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n{{}}\r\n0\r\n\r\n").into(),
        )
    });
    add("two lengths", |good| {
        Sent::Bytes(format!("HTTP/1.1 {}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", good.head).into())
    });
    add("a negative length", |good| {
        Sent::Bytes(format!("HTTP/1.1 {}Content-Length: -2\r\n\r\n{{}}", good.head).into())
    });
    add("a content type that drives a terminal", |good| {
        good.with("418 X\r\nContent-Type: \u{1b}[2Jtext\u{202e}\r\n", "tea")
    });
    add("compressed without being asked", |good| {
        good.with(&format!("{}Content-Encoding: gzip\r\n", good.head), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
    });
    cases
}
