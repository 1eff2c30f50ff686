//! The program against an authority that means harm, one run for each class of harm: HAProxy goes on with what it has, nothing is
//! stored, nothing of the authority's text drives the terminal, and what can be continued is.

use std::ffi::OsString;

use crate::support::authority::{Good, ScriptedAuthority, Sent};
use crate::support::client::{Options, handshake};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome};
use crate::unharmed::{Bench, Expected, Snapshot};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// What would make a terminal do things.
const DETAIL: &str = "no\u{1b}]0;pwned\u{7}\u{1b}[2J\r\n\u{202e}because";

struct Scene {
    bench: Bench,
    authority: ScriptedAuthority,
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::with(Haproxy::new(HaproxyVersion::V3_2), Hotcert::new());
        let authority = ScriptedAuthority::start(None, SignedDuration::from_hours(90 * 24));
        authority.be_strict();
        Self { bench, authority }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let haproxy = &self.bench.haproxy;
        let mut flags: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        flags.extend(["--directory".into(), self.authority.directory().into()]);
        flags.extend(["--root-ca".into(), self.authority.root_ca().into()]);
        flags.extend(["--http-01-probe".into(), haproxy.http_addr().to_string().into()]);
        flags.extend(["--http-01-listen".into(), haproxy.acme_addr().to_string().into()]);
        flags.extend(["--contact".into(), "admin@example.org".into(), "--agree-terms".into()]);
        self.bench.run(flags)
    }

    /// Generations of a certificate.
    fn generations(&self, name: &str) -> usize {
        let directory = self.bench.hotcert.state_dir().join("certs").join(name).join("generations");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.count()
    }

    /// Orders what the authority spoils, and checks that nothing is different afterwards.
    fn refuses(
        &self,
        arguments: &[&str],
        path: &str,
        expected: Expected<'_>,
        spoil: impl Fn(&Good<'_>) -> Sent + Send + Sync + 'static,
    ) {
        let look = || Snapshot::of(&self.bench.haproxy, &[&self.bench.haproxy.crt_dir()]);
        let (before, generations) = (look(), self.generations(arguments[1]));
        self.authority.spoil(path, spoil);
        let outcome = self.run(arguments);
        expected.check(&outcome);
        let is_raw =
            |letter: char| letter != '\n' && (letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter));
        assert!(!outcome.stderr.contains(is_raw) && !outcome.stdout.contains(is_raw), "{outcome:?}");
        assert_eq!(look(), before);
        assert_eq!(self.generations(arguments[1]), generations);
        self.authority.mend();
    }
}

const fn authority<'a>(code: i32, says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code, kind: "authority", says, hint }
}

#[test]
fn whatever_an_authority_does_haproxy_serves_what_it_had() {
    let scene = Scene::new();
    scene.run(&["issue", "served.test"]).expect_code(0);
    assert_eq!(scene.generations("served.test"), 1);
    let shown = || handshake(scene.bench.haproxy.https_addr(), "served.test", Options::default()).unwrap().sha256;
    let served = shown();

    let refused = authority(1, &["no]0;pwned[2J  because (rejectedIdentifier)"], "take it out");
    scene.refuses(&["issue", "one.test"], "/order", refused, |good| {
        let body = json!({ "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": DETAIL });
        good.with("400 X\r\nContent-Type: application/problem+json\r\n", body.to_string())
    });
    let other = authority(75, &["is not to be trusted", "it is for evil.test"], "made a mistake");
    scene.refuses(&["issue", "two.test"], "/order", other, |good| {
        good.edited(|order| order["identifiers"] = json!([{ "type": "dns", "value": "evil.test" }]))
    });
    let token = authority(1, &["not safe to answer", "../../../etc/passwd"], "made a mistake");
    scene.refuses(&["issue", "three.test"], "/authz/", token, |good| {
        good.edited(|authorization| authorization["challenges"][0]["token"] = json!("../../../etc/passwd\u{1b}[2J"))
    });
    let redirected = authority(75, &["redirects to https://evil.test/"], "proxy or login page");
    scene.refuses(&["issue", "four.test"], "/chall/", redirected, |good| {
        good.with("307 X\r\nLocation: https://evil.test/\r\n", "")
    });
    let large = authority(75, &["longer than 1048576 bytes"], "try again later");
    scene.refuses(&["issue", "five.test"], "/cert/", large, |good| {
        let head = format!("HTTP/1.1 {}{}Content-Length: 104857600\r\n\r\n", good.head, good.common);
        Sent::Endless(head.into(), vec![b' '; 65536])
    });
    let page = authority(75, &["does not answer as an ACME authority does", "text/html"], "proxy or login page");
    scene.refuses(&["issue", "six.test"], "/finalize/", page, |good| {
        good.with("200 X\r\nContent-Type: text/html\r\n", "<h1>Log in</h1>")
    });
    let slow = authority(75, &["is still processing"], "it continues this order");
    scene.refuses(&["issue", "seven.test"], "/finalize/", slow, |good| {
        let Sent::Bytes(bytes) = good.edited(|order| order["status"] = json!("processing")) else { panic!("it ends") };
        let text = String::from_utf8(bytes).unwrap();
        good.with(&format!("{}Retry-After: 600\r\n", good.head), text.split_once("\r\n\r\n").unwrap().1)
    });

    // A renewal of what is served.
    let forced = ["issue", "served.test", "--force"];
    let wrong = |says| Expected { code: 1, kind: "refused", says, hint: "orders anew" };
    scene.refuses(&forced, "/cert/", wrong(&["does not match"]), |good| {
        good.body(good.pki.leaf("served.test").issue().fullchain())
    });
    scene.refuses(&forced, "/cert/", wrong(&["does not cover served.test"]), |good| {
        good.body(good.pki.leaf("other.test").issue_for(&good.key))
    });
    scene.refuses(&forced, "/cert/", Expected { hint: "clock", ..wrong(&["has expired"]) }, |good| {
        let day = SignedDuration::from_hours(24);
        let leaf =
            good.pki.leaf("served.test").not_before(Timestamp::now() - day * 9).not_after(Timestamp::now() - day);
        good.body(leaf.issue_for(&good.key))
    });
    assert_eq!((scene.generations("served.test"), shown()), (1, served.clone()));

    // What was begun is continued, and what was given up is ordered anew.
    scene.run(&forced).expect_code(0);
    assert_eq!(scene.generations("served.test"), 2);
    assert_ne!(shown(), served);
    for (name, orders) in [("six.test", 1), ("seven.test", 1), ("three.test", 2)] {
        scene.run(&["issue", name]).expect_code(0);
        assert_eq!((scene.generations(name), scene.authority.orders_for(name)), (1, orders), "{name}");
        handshake(scene.bench.haproxy.https_addr(), name, Options::default()).unwrap();
    }
}
