use std::path::Path;

use super::*;
use crate::model::KeyType;

/// The example of the documentation, with every key that has a meaning.
const FULL: &str = r#"
version = 1
state_dir = "/srv/hotcert"

[issuer.letsencrypt]
directory = "letsencrypt"
contact = ["admin@example.org"]
terms_agreed = true

[solver.http]
type = "http-01"
via = "listener"
listen = "127.0.0.1:63443"

[haproxy.edge]
socket = "/run/haproxy/admin.sock"
crt_dir = "/etc/haproxy/certs"
verify = ["127.0.0.1:443"]
owner = "haproxy"
group = "haproxy"
mode = "0640"

[[certificate]]
name = "example.org"
domains = ["example.org", "www.bücher.example"]
issuers = ["letsencrypt"]
solver = "http"
key = "rsa-3072"
nodes = ["edge"]
options = "[alpn h2,http/1.1]"
filters = ["www.example.org"]
"#;

fn parse(text: &str) -> Result<Config, Error> {
    parse::parse(Path::new("hotcert.toml"), text)
}

/// The problems of a text, as they are printed.
fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Err(Error::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("no problems, but {other:?}"),
    }
}

#[test]
fn a_full_file_becomes_a_configuration() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let certificate = &config.certificates[&"example.org".parse().unwrap()];
    let order = certificate.order.as_ref().unwrap();
    assert_eq!(certificate.domains[1].to_string(), "www.xn--bcher-kva.example");
    assert_eq!((order.keys[0], order.issuers[0].terms_agreed), (KeyType::Rsa3072, true));
    let node = config.nodes_of(certificate).next().unwrap();
    assert_eq!((node.mode, node.verify[0].port), (Some(0o640), 443));
}

#[test]
fn the_files_for_clients_are_one_or_more_and_each_has_its_kind() {
    let with = |keys: &str| FULL.replace("mode = \"0640\"", &format!("mode = \"0640\"\n{keys}"));
    let config = parse(&with("ca_file = \"/ca.pem\"\ncrl_file = [\"/a.pem\", \"/b.pem\"]")).unwrap();
    let node = config.nodes.values().next().unwrap();
    let files: Vec<_> = node.client_files().map(|(kind, file)| format!("{kind} {file}")).collect();
    assert_eq!(files, ["ca-file /ca.pem", "crl-file /a.pem", "crl-file /b.pem"]);
    for (keys, expected) in [
        ("ca_file = \"ca.pem\"", ":22:11: haproxy.edge.ca_file: \"ca.pem\" must be an absolute path"),
        ("ca_file = \"/a:1\"", "haproxy.edge.ca_file: \"/a:1\" has a colon"),
        ("ca_file = [\"/a\", \"/a\"]", "haproxy.edge.ca_file: /a stands there twice"),
        ("ca_file = \"/a b\"", "haproxy.edge.ca_file: blanks"),
        ("ca_file = 1", "haproxy.edge.ca_file: must be a string"),
        ("crl_file = \"/a\"", "haproxy.edge.crl_file: needs a ca_file"),
        ("ca_file = \"/a\"\ncrl_file = \"/a\"", "haproxy.edge.crl_file: /a is named as ca_file too"),
        ("crl_files = \"/a\"", "haproxy.edge.crl_files: unknown key; did you mean `crl_file`?"),
    ] {
        let found = problems(&with(keys));
        assert!(found.len() == 1 && found[0].contains(expected), "{keys}: {found:?}");
    }
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = FULL
        .replace("version = 1", "version = 2\nsate_dir = \"x\"")
        .replace("/run/haproxy/admin.sock", "tcp://10.0.0.1:9999")
        .replace("\"0640\"", "\"0644\"")
        .replace("rsa-3072", "rsa-1024")
        .replace("nodes = [\"edge\"]", "nodes = [\"core\"]")
        .replace("\"admin@example.org\"", "\"admin\"");
    let problems = problems(&text);
    for expected in [
        "hotcert.toml:2:11: version: must be 1",
        "hotcert.toml:3:1: sate_dir: unknown key; did you mean `state_dir`?",
        "issuer.letsencrypt.contact: \"admin\" is no mail address",
        "haproxy.edge.socket: plain TCP off loopback",
        "haproxy.edge.mode: \"0644\" is wider than 0640",
        "certificate[0].key: \"rsa-1024\" is not a key type",
        "certificate[0].nodes: names \"core\"",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn what_is_no_toml_is_a_problem_with_a_place() {
    let problems = problems("version = 1\nstate_dir = \n[haproxy.edge]\nsocket = \"/x\"\nverfy = []");
    assert!(problems[0].starts_with("hotcert.toml:2:"), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.contains("did you mean `verify`?")), "{problems:#?}");
}

#[test]
fn wrong_certificates_are_refused() {
    let with = |certificate: &str| {
        let start = FULL.find("[[certificate]]").unwrap();
        problems(&format!("{}{certificate}", &FULL[..start]))
    };
    for (certificate, expected) in [
        ("[[certificate]]\nname = \"a\"", "certificate[0].domains: is missing"),
        ("[[certificate]]\ndomains = []", "must name at least one domain"),
        ("[[certificate]]\ndomains = [\"a.test\", \"A.test\"]", "names a domain twice"),
        (
            "[[certificate]]\ndomains = [\"a.test\", \"*.a.test\"]",
            "*.a.test is a wildcard, and http-01 cannot prove one",
        ),
        ("[[certificate]]\ndomains = [\"shop.key\"]", "cannot name the certificate"),
        ("[[certificate]]\ndomains = [\"a b\"]", "is not a domain name or IP address"),
        ("[[certificate]]\nname = \"../x\"\ndomains = [\"a.test\"]", "path separator"),
        ("[[certificate]]\ndomains = [\"a.test\"]\noptions = \"[a]\\nshow\"", "one pair of brackets"),
        ("[[certificate]]\ndomains = [\"a.test\"]\nfilters = [\"a b\"]", "is no SNI filter"),
        (
            "[[certificate]]\ndomains = [\"a.test\"]\n[[certificate]]\nname = \"a.test\"\ndomains = [\"b.test\"]",
            "certificate[1].name: two certificates are named a.test",
        ),
    ] {
        let found = with(certificate);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected} in {found:#?}");
    }
}

#[test]
fn a_node_may_have_a_socket_or_a_master_socket_or_both() {
    let node = |lines: &str| {
        let config = parse(&format!("version = 1\n[haproxy.edge]\n{lines}\n")).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        config.nodes.into_values().next().unwrap()
    };
    let both = node("socket = \"/run/a.sock\"\nmaster = \"/run/m.sock\"");
    assert_eq!(both.socket.to_string(), "/run/a.sock");
    assert_eq!(both.master().unwrap().to_string(), "master@/run/m.sock");
    for lines in ["master = \"/run/m.sock\"", "master = \"master@/run/m.sock\"", "socket = \"master@/run/m.sock\""] {
        let alone = node(lines);
        assert_eq!(alone.socket.to_string(), "master@/run/m.sock");
        assert_eq!(alone.master(), Some(&alone.socket));
        assert_eq!(serde_json::from_str::<Node>(&serde_json::to_string(&alone).unwrap()).unwrap(), alone);
    }
    assert_eq!(node("socket = \"/run/a.sock\"").master(), None);

    let wrong = |lines: &str| problems(&format!("version = 1\n[haproxy.edge]\n{lines}\n")).join("\n");
    assert_eq!(wrong("verify = []"), "hotcert.toml:2:10: haproxy.edge.socket: is missing");
    assert_eq!(wrong("master = \"\"").lines().count(), 1);
    assert!(wrong("master = \"tcp://10.0.0.1:9\"").contains("3:10: haproxy.edge.master: plain TCP off loopback"));
    assert!(wrong("socket = \"master@tcp://10.0.0.1:9\"").contains("haproxy.edge.socket: plain TCP off loopback"));
    assert!(wrong("master = \"tls://a.test:9\"").contains("haproxy.edge.master: must be a path or tcp://host:port"));
    assert!(wrong("sockets = \"/x\"\nmaster = \"/m\"").contains("did you mean `socket`?"));
}

#[test]
fn a_choice_between_several_is_not_made_silently() {
    let text = FULL
        .replace("issuers = [\"letsencrypt\"]\n", "")
        .replace("[solver.http]", "[issuer.zerossl]\ndirectory = \"zerossl\"\n[solver.http]");
    assert!(problems(&text)[0].contains("several issuers are configured"));
}

#[test]
fn a_private_authority_needs_nothing_but_its_type_and_proves_every_name() {
    let local = "version = 1\n[issuer.local]\ntype = \"internal\"\n";
    let certificate = "[[certificate]]\ndomains = [\"*.a.test\", \"192.0.2.1\"]\n";
    let config = parse(&format!("{local}{certificate}")).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let order = config.certificates.values().next().unwrap().order.as_ref().unwrap();
    assert!(order.is_internal() && order.solvers.is_empty());
    let unknown = &problems(&format!("{local}contact = \"a@b.test\"\n{certificate}"))[0];
    assert!(unknown.contains("issuer.local.contact"), "{unknown}");
    // Beside an authority that has to be shown something, names have to be provable.
    let both = format!("{local}[issuer.le]\ndirectory = \"letsencrypt\"\n{certificate}issuers = [\"local\", \"le\"]\n");
    assert!(problems(&both)[0].contains("wildcard"), "{both}");
}

#[test]
fn a_watched_directory_has_a_layout() {
    let text = "[[watch]]\ndir = \"/etc/letsencrypt/live/\"\n[[watch]]\ndir = \"/certs\"\nlayout = \"kubernetes\"\n";
    let config = parse(&format!("version = 1\n{text}")).unwrap();
    let watches = [("/etc/letsencrypt/live", Layout::Auto), ("/certs", Layout::Kubernetes)];
    assert_eq!(config.watches, watches.map(|(dir, layout)| Watch { dir: dir.into(), layout }));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_watch_that_cannot_be_meant_is_a_problem() {
    let of = |text: &str| problems(&format!("version = 1\n[[watch]]\n{text}"));
    assert!(of("dir = \"certs\"")[0].contains("watch[0].dir: must be an absolute path"));
    assert!(of("layout = \"auto\"")[0].contains("watch[0].dir: is missing"));
    assert!(of("dir = \"/a\"\nlayout = \"flat\"")[0].contains("must be auto, pem, pair, certbot or kubernetes"));
    assert!(of("dir = \"/a\"\nlayot = \"pem\"")[0].contains("did you mean `layout`?"));
    assert!(of("dir = \"/a\"\n[[watch]]\ndir = \"/a/\"")[0].contains("/a is watched already"));
}

#[test]
fn flags_win_over_the_file_and_say_so() {
    let flags = Flags {
        sockets: vec!["/tmp/a.sock".parse().unwrap(), "/tmp/b.sock".parse().unwrap()],
        crt_dir: Some("/tmp/certs".into()),
        ..Flags::default()
    };
    let mut config = parse(FULL).unwrap();
    flags.lay_over(&mut config);
    assert_eq!(config.nodes.len(), 2);
    assert!(config.nodes.values().all(|node| node.crt_dir.as_deref() == Some(Path::new("/tmp/certs"))));
    let setting = |key: &str| config.settings.iter().find(|setting| setting.key == key).unwrap().origin.clone();
    assert_eq!(setting("haproxy.haproxy-2.crt_dir"), "--crt-dir");
    assert_eq!(setting("state_dir"), "hotcert.toml:3");
    assert_eq!(setting("solver.http.via"), "hotcert.toml:12");
}

#[test]
fn what_was_issued_without_a_file_is_recalled_with_its_nodes() {
    let name: CertName = "a.test".parse().unwrap();
    let mut first = parse("version = 1").unwrap();
    Flags { sockets: vec!["/tmp/a.sock".parse().unwrap()], ..Flags::default() }.lay_over(&mut first);
    let issued = first.certificate_to_issue(&["a.test".parse().unwrap()], &OrderFlags::default()).unwrap();
    let remembered = Remembered::of(&first, &issued);
    let json = serde_json::to_string(&remembered).unwrap();

    let mut later = parse("version = 1").unwrap();
    later.recall([serde_json::from_str::<Remembered>(&json).unwrap()]);
    assert_eq!(later.nodes_of(&later.certificates[&name]).next().unwrap().socket.to_string(), "/tmp/a.sock");

    // Another certificate was issued to another socket under the same node name.
    let mut other = remembered.clone();
    other.certificate.name = "b.test".parse().unwrap();
    other.nodes[0].socket = "/tmp/b.sock".parse().unwrap();
    later.recall([]);
    let mut both = parse("version = 1").unwrap();
    both.recall([remembered, other]);
    assert_eq!(both.nodes.len(), 2);
    assert_eq!(both.nodes_of(&both.certificates[&name]).count(), 1);
}

#[test]
fn issue_takes_the_configured_certificate_and_lays_flags_over_it() {
    let config = parse(FULL).unwrap();
    let flags = OrderFlags {
        directory: Some("https://localhost:14000/dir".parse().unwrap()),
        http_01_stateless: true,
        ..OrderFlags::default()
    };
    let certificate = config.certificate_to_issue(&["example.org".parse().unwrap()], &flags).unwrap();
    let order = certificate.order.unwrap();
    assert_eq!(order.solvers[0].method, Method::Http01(Via::Stateless));
    assert_eq!(order.issuers[0].directory.as_ref().unwrap().as_str(), "https://localhost:14000/dir");
    // To agree to the terms of one authority is not to agree to those of another.
    assert!(!order.issuers[0].terms_agreed);
    assert_eq!(order.keys, [KeyType::Rsa3072]);
    assert_eq!(certificate.domains.len(), 2, "the certificate of the file is meant as a whole");
}

#[test]
fn a_group_stands_for_its_nodes() {
    let text = "version = 1\nrequire = \"all\"\n[issuer.a]\ndirectory = \"letsencrypt\"\n\
        [haproxy.one]\nsocket = \"/1\"\n[haproxy.two]\nsocket = \"/2\"\n[haproxy.three]\nsocket = \"/3\"\n\
        [group.west]\nnodes = [\"two\", \"one\"]\n\
        [[certificate]]\ndomains = [\"a.test\"]\nnodes = [\"west\", \"two\"]\n\
        [[certificate]]\ndomains = [\"b.test\"]\nrequire = \"reachable\"\n";
    let config = parse(text).unwrap();
    let [a, b] = ["a.test", "b.test"].map(|name| &config.certificates[&name.parse().unwrap()]);
    assert_eq!(a.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["two", "one"]);
    assert!(config.requires_all(a) && !config.requires_all(b));
    assert_eq!(config.nodes_of(b).count(), 3);
}

#[test]
fn nodes_and_groups_that_cannot_be_are_named() {
    let nodes = "version = 1\n[issuer.a]\ndirectory = \"letsencrypt\"\n[haproxy.one]\nsocket = \"/1\"\n";
    let wrong = |rest: &str| problems(&format!("{nodes}{rest}")).join("\n");
    let known = "names \"two\", and the haproxys are: one";
    assert!(
        wrong("[group.west]\nnodes = [\"two\"]\n").contains(&format!("hotcert.toml:7:9: group.west.nodes: {known}"))
    );
    assert!(wrong("[group.west]\nnodes = []\n").contains("must name at least one node"));
    assert!(wrong("[group.west]\n").contains("group.west"));
    assert!(wrong("[group.one]\nnodes = [\"one\"]\n").contains("one is a node: give the group another name"));
    let certificate = "[[certificate]]\ndomains = [\"a.test\"]\n";
    assert!(wrong(&format!("{certificate}nodes = [\"two\"]\n")).contains(known));
    let grouped = wrong(&format!("[group.west]\nnodes = [\"one\"]\n{certificate}nodes = [\"two\"]\n"));
    assert!(grouped.contains(&format!("{known}; the groups are: west")), "{grouped}");
    assert!(wrong(&format!("{certificate}require = \"most\"\n")).contains("must be reachable or all"));
    // Two tables of one name: TOML itself forbids it.
    let twice = wrong("[haproxy.one]\nsocket = \"/2\"\n");
    assert!(twice.contains("hotcert.toml:6") && twice.contains("duplicate key"), "{twice}");
}
