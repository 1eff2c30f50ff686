use super::paper::{Ink, Line};
use super::*;
use crate::observe::overview::{Certificate, Node, Served, Trouble, Worker};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-23T10:30:00Z")
}

fn certificate(name: &str, tone: Tone, state: &str) -> Certificate {
    let served = |node: &str| Served {
        node: node.to_owned(),
        slot: None,
        state: "in-sync".to_owned(),
        tone: Tone::Good,
        serial: Some("04ab".to_owned()),
        verified: "handshake".to_owned(),
        detail: None,
    };
    Certificate {
        name: name.to_owned(),
        key: None,
        domains: vec![name.to_owned()],
        source: "acme".to_owned(),
        issuer: Some("letsencrypt".to_owned()),
        state: state.to_owned(),
        tone,
        serial: Some("04ab".to_owned()),
        sha256: None,
        life: Some((at("2026-10-14T10:30:00Z"), at("2027-01-12T10:30:00Z"))),
        renew_at: Some(at("2026-12-13T10:30:00Z")),
        window: None,
        emergency_at: Some(at("2027-01-01T04:30:00Z")),
        generation: Some(3),
        served: vec![served("edge-1"), served("edge-2")],
    }
}

fn overview() -> Overview {
    let mut bad = certificate("login.example.com", Tone::Broken, "failed");
    bad.life = Some((at("2026-08-24T10:30:00Z"), at("2026-11-22T10:30:00Z")));
    bad.renew_at = Some(at("2026-10-23T10:30:00Z"));
    bad.emergency_at = Some(at("2026-11-11T10:30:00Z"));
    (bad.served[1].state, bad.served[1].tone) = ("absent".to_owned(), Tone::Broken);
    bad.served[1].verified = "none".to_owned();
    let worker =
        Worker { pid: 4012, started_at: at("2026-11-14T10:30:00Z"), connections: 17, outdated: vec!["x".to_owned()] };
    let node = Node {
        name: "edge-1".to_owned(),
        address: "/run/haproxy/admin.sock".to_owned(),
        reachable: true,
        tone: Tone::Good,
        version: Some("3.2.4".to_owned()),
        pid: Some(4711),
        started_at: Some(at("2026-11-20T10:30:00Z")),
        old_workers: vec![worker],
        files: Vec::new(),
        foreign: 1,
    };
    let trouble = Trouble {
        tone: Tone::Broken,
        message: "http-01 of login.example.com: the authority was answered 404 at a long address".to_owned(),
        hint: Some(
            "route /.well-known/acme-challenge/ to hotcert: `hotcert config haproxy` prints the lines".to_owned(),
        ),
        next_try: Some(at("2026-11-23T10:59:00Z")),
        certificates: vec!["login.example.com".to_owned()],
        concerned: 1,
        nodes: Vec::new(),
        files: Vec::new(),
    };
    Overview {
        troubles: vec![trouble],
        certificates: vec![bad, certificate("example.org", Tone::Good, "serving")],
        nodes: vec![node],
        events: None,
    }
}

fn shown(paper: Paper, columns: u16) -> String {
    let lines = view::lines(&overview(), &Query::default(), paper, columns, now());
    lines.iter().map(|line| paper.print(line, usize::from(columns)) + "\n").collect()
}

#[test]
fn a_wide_terminal_shows_a_table_with_a_time_line() {
    insta::assert_snapshot!(shown(Paper { color: false, unicode: true }, 120), @r#"
✖ 1 certificate is not served as it should be
  1 good, 0 to look at, 1 broken · nodes: 1 of 1 answer · next due 31 days ago: login.example.com · first end 24 h ago:
  login.example.com

✖ broken: http-01 of login.example.com: the authority was answered 404 at a long address
  hint: route /.well-known/acme-challenge/ to hotcert: `hotcert config haproxy` prints the lines
  tried again in 29 min (2026-11-23 10:59Z)

  CERTIFICATE       STATE    DUE          ENDS            10-26 now        01-25    SERVED BY
✖ login.example.com failed   31 days ago  24 h ago     ━━━━━◆━━━━│                  ✖ edge-2 absent
                                                                                    ● edge-1 in-sync (handshake)
● example.org       serving  in 20 days   in 50 days      ━━━━━━━│───◆╌╌┄┄┄         ● edge-1,edge-2 in-sync (handshake)

NODES
● edge-1 at /run/haproxy/admin.sock: HAProxy 3.2.4, process 4711, 3 days old, 1 certificate that hotcert does not manage
    old worker 4012: 9 days old, 17 connections, still serves an older version of 1 certificate

EVENTS
  this daemon remembers none: with [observe] and listen = "127.0.0.1:9464" in its configuration they are shown here
"#);
}

#[test]
fn a_narrow_terminal_without_unicode_shows_all_of_it_in_ascii() {
    let text = shown(Paper { color: false, unicode: false }, 40);
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 40), "{text}");
    insta::assert_snapshot!(text, @r#"
X 1 certificate is not served as it
  should be
  1 good, 0 to look at, 1 broken -
  nodes: 1 of 1 answer - next due 31
  days ago: login.example.com - first
  end 24 h ago: login.example.com

X broken: http-01 of login.example.com:
  the authority was answered 404 at a
  long address
  hint: route
  /.well-known/acme-challenge/ to
  hotcert: `hotcert config haproxy`
  prints the lines
  tried again in 29 min (2026-11-23
  10:59Z)

CERTIFICATES
       10-26   now            01-25
X login.example.com            failed
  due 31 days ago, ends 24 h ago
  =======o======|
  X edge-2 absent
  + edge-1 in-sync (handshake)
+ example.org                  serving
  due in 20 days, ends in 50 days
      ==========|----o~~~~....
  + edge-1,edge-2 in-sync (handshake)

NODES
+ edge-1 at /run/haproxy/admin.sock:
  HAProxy 3.2.4, process 4711, 3 days
  old, 1 certificate that hotcert does
  not manage
    old worker 4012: 9 days old, 17
    connections, still serves an older
    version of 1 certificate

EVENTS
  this daemon remembers none: with
  [observe] and listen =
  "127.0.0.1:9464" in its configuration
  they are shown here
"#);
}

#[test]
fn no_width_breaks_it_and_colours_change_no_letter() {
    for columns in 0..200 {
        let plain = shown(Paper { color: false, unicode: true }, columns);
        let coloured = shown(Paper { color: true, unicode: true }, columns);
        let mut bare = String::new();
        let mut rest = &*coloured;
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            bare.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        let trimmed: String = bare.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert_eq!(trimmed, plain, "{columns} columns");
    }
}

#[test]
fn text_of_others_is_cut_and_broken_by_columns_and_drives_no_terminal() {
    let paper = Paper { color: false, unicode: true };
    assert_eq!(paper.fit("shop.example.com", 8), "shop.ex…");
    assert_eq!(paper.fit("名名名名", 5), "名名…");
    assert_eq!(paper.fit("a\u{1b}[2Jb\n", 9), "a[2Jb ");
    assert_eq!(paper.wrap("one two three", 9), ["one two", "three"]);
    assert_eq!(paper.wrap("abcdefghijkl mn", 8), ["abcdefgh", "ijkl mn"]);
    assert_eq!(paper.wrap("", 9), [""]);
    let ascii = Paper { color: false, unicode: false };
    assert_eq!(ascii.tame("bücher · 名…"), "b?cher - ?~");
    assert_eq!(paper.print(&Line::of(Ink::Bold, "名名").and(Ink::Plain, "abc"), 5), "名名a");
}

#[test]
fn the_first_variable_that_is_set_says_which_letters_there_are() {
    let speaks = |set: &[(&str, &str)]| {
        speaks_unicode(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    };
    assert!(speaks(&[("LANG", "de_DE.UTF-8")]) && speaks(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
    assert!(!speaks(&[]) && !speaks(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]));
}
