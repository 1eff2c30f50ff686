//! Configurations as people write them, and as nobody does.

use proptest::prelude::*;

use super::super::{Level, Listen, View};
use super::*;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Variables { values, are_known: true }
}

fn parse(text: &str) -> Configuration {
    Configuration::parse(
        &[("/etc/haproxy/haproxy.cfg".into(), text.into())],
        Some(Path::new("/srv")),
        variables(&[("IN", "1")]),
    )
}

#[test]
fn the_configuration_of_debian_is_read() {
    let parsed = parse(
        "global\n\tlog /dev/log local0\n\tchroot /var/lib/haproxy\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\n\
         \tstats timeout 30s\n\tuser haproxy\n\tgroup haproxy\n\tdaemon\n\n\t# Default SSL material locations\n\
         \tca-base /etc/ssl/certs\n\tcrt-base /etc/ssl/private\n\ndefaults\n\tmode\thttp\n\terrorfile 400 /etc/haproxy/errors/400.http\n",
    );
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let global = parsed.global();
    assert_eq!(global.stats_sockets[0].listen, Listen::Unix("/run/haproxy/admin.sock".into()));
    assert_eq!((global.stats_sockets[0].level, global.stats_sockets[0].mode.as_deref()), (Level::Admin, Some("660")));
    assert_eq!(global.stats_sockets[0].place.to_string(), "/etc/haproxy/haproxy.cfg:4");
    assert_eq!(global.chroot.as_deref(), Some(Path::new("/var/lib/haproxy")));
    assert_eq!((global.user.as_deref(), global.crt_base.as_deref()), (Some("haproxy"), Some("/etc/ssl/private")));
    assert_eq!(global.end.unwrap().line, 12);
}

#[test]
fn certificates_are_named_as_the_runtime_api_names_them() {
    let parsed = parse(
        "global\n crt-base /etc/ssl/private\n unix-bind prefix /run/h mode 600\n stats socket unix@s.sock\n\
         defaults\n mode http\n\
         frontend a from nothing\n bind *:443,[::]:443 ssl crt /certs/ crt one.pem crt-list lists/a.txt strict-sni alpn h2,http/1.1\n\
         \x20bind /a.sock accept-proxy ssl crt @web/shop tls-ticket-keys /t\n bind :80\n\
         listen b\n mode tcp\n bind :8443 ssl\n ssl-f-use crt two.pem [alpn h2]\n\
         crt-store web\n crt-base /certs\n load crt shop.pem alias shop\n load crt \"other.pem\" key other.key\n",
    );
    let binds = parsed.binds();
    let names: Vec<Vec<&str>> =
        binds.iter().map(|bind| bind.certificates.iter().map(|named| named.name.as_str()).collect()).collect();
    let expected: [&[&str]; 4] =
        [&["/certs/", "/etc/ssl/private/one.pem"], &["@web/shop"], &[], &["/etc/ssl/private/two.pem"]];
    assert_eq!(names, expected);
    assert_eq!(binds[0].crt_lists[0].name, "lists/a.txt");
    assert_eq!(binds[0].crt_lists[0].path.as_deref(), Some(Path::new("/srv/lists/a.txt")));
    assert!(binds[0].is_strict && !binds[1].is_strict && binds[1].accepts_proxy);
    assert_eq!(binds[1].listen, [Listen::Unix("/run/h/a.sock".into())]);
    assert_eq!(binds[1].ticket_keys.as_deref(), Some("/t"));
    assert!(parsed.speaks_http(binds[0].section) && !parsed.speaks_http(binds[3].section));
    // The prefix is not for stats sockets.
    assert_eq!(parsed.global().stats_sockets[0].listen, Listen::Unix("/srv/s.sock".into()));
    assert_eq!(parsed.global().stats_sockets[0].level, Level::Operator);
    let stores: Vec<_> = parsed.stores().into_iter().map(|entry| (entry.name, entry.path.unwrap())).collect();
    assert_eq!(stores[0], ("@web/shop".to_owned(), "/certs/shop.pem".into()));
    assert_eq!(stores[1], ("@web/other.pem".to_owned(), "/certs/other.pem".into()));
    let certificates = parsed.certificates(&View::default());
    assert_eq!(certificates.directories.len(), 1);
    assert_eq!((certificates.files.len(), certificates.lists.len()), (3, 1));
}

#[test]
fn conditions_and_variables_decide_what_counts() {
    let parsed = parse(
        "global\n setenv HERE /run/x\n stats socket \"$HERE/a.sock\" level admin\n.if defined(IN)\n node yes\n.else\n node no\n \"broken\n.endif\n\
         .if feature(OPENSSL)\n chroot /a\n.endif\n.notice \"hello\"\n",
    );
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let global = parsed.global();
    assert_eq!(global.stats_sockets[0].listen, Listen::Unix("/run/x/a.sock".into()));
    assert_eq!(global.node.as_deref(), Some("yes"));
    let chroot = parsed.sections[0].all("chroot").next().unwrap();
    assert!(!chroot.is_certain && parsed.sections[0].all("setenv").next().unwrap().is_certain);
}

#[test]
fn relative_names_begin_where_the_file_says() {
    let files =
        [("/etc/haproxy/1.cfg", "global\n default-path config\n chroot a\n"), ("/opt/x/2.cfg", "global\n chroot b\n")];
    let files = files.map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec()));
    let parsed = Configuration::parse(&files, None, Variables::default());
    let chroots: Vec<_> = parsed
        .sections
        .iter()
        .flat_map(|section| section.all("chroot"))
        .map(|line| line.path(&line.words[1]).unwrap())
        .collect();
    assert_eq!(chroots, [Path::new("/etc/haproxy/a"), Path::new("/opt/x/b")]);
    assert_eq!(parsed.files.len(), 2);
    let nowhere = Configuration::parse(&[("/a".into(), "global\n chroot x".into())], None, Variables::default());
    assert_eq!(nowhere.global().chroot, None);
}

#[test]
fn what_haproxy_refuses_is_told_with_its_place() {
    let parsed = parse("nonsense\nglobal\n \"x\n.else\n user a\n");
    let told: Vec<_> = parsed.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "/etc/haproxy/haproxy.cfg:1: it stands in no section",
            "/etc/haproxy/haproxy.cfg:3: a quote is not closed",
            "/etc/haproxy/haproxy.cfg:4: there is no .if before it",
        ]
    );
    assert_eq!(parsed.global().user.as_deref(), Some("a"));
}

/// Pieces from which a text that is nearly a configuration is made.
const PIECES: [&str; 24] = [
    "global\n",
    "defaults\n",
    "frontend f\n",
    "backend b from d\n",
    "crt-store s\n",
    "\n",
    " ",
    "bind ",
    ":443 ssl crt ",
    "/x/",
    "\"",
    "'",
    "\\",
    "\\x4",
    "${",
    "$IN",
    "}",
    "[*]",
    ".if ",
    ".else\n",
    ".endif\n",
    "stats socket ",
    "default-path parent\n",
    "use_backend b if { path_beg /.well-known/acme-challenge/ }\n",
];

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        survive(bytes);
    }

    #[test]
    fn any_pieces_are_survived(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..60)) {
        survive(pieces.concat().into_bytes());
    }
}

fn survive(bytes: Vec<u8>) {
    let parsed = Configuration::parse(&[("/h.cfg".into(), bytes)], None, variables(&[("IN", "1 2")]));
    let _ = (parsed.global(), parsed.binds(), parsed.roads(), parsed.stores(), parsed.certificates(&View::default()));
    for section in &parsed.sections {
        let _ = (parsed.redirects(section), section.title(), section.end().to_string());
        assert!(section.lines.iter().all(|line| !line.words.is_empty()));
    }
    parsed.problems.iter().for_each(|problem| assert!(!problem.to_string().contains('\0')));
}
