//! `hotcert doctor`: a healthy site, and sites on which everything is wrong, of real servers.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "doctor/roads.rs"]
mod roads;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotcert::clock::SystemClock;
use hotcert::config::{Config, Flags};
use hotcert::doctor::{Check, Doctor, Finding, nodes_here};
use hotcert::haproxy::SystemConnect;
use hotcert::host::Host;
use hotcert::model::Address;
use hotcert::store::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use support::authority::ScriptedAuthority;
use support::sidecar::quoted;
use support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Outcome, PebbleVersion, Pki, Sidecar, Site};

/// The most that the whole may take, of which 8 s are the deadlines of what hangs.
const QUICK: Duration = Duration::from_secs(10);

/// A HAProxy that redirects everything to https, and whose socket is open to all.
const CARELESS: &str = "global
    maxconn 1000
    tune.bufsize 65536
    stats socket {socket} mode 666 level admin
    stats socket {dir}/operator.sock mode 600 level operator
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http
    bind 127.0.0.1:{http}
    http-request redirect scheme https
frontend https
    bind 127.0.0.1:{https} ssl crt {dir}/certs/ strict-sni
    http-request return status 200 content-type text/plain string hi
";

/// What each check said: the verdicts, worst last.
fn verdicts(outcome: &Outcome) -> BTreeMap<String, Vec<(String, String)>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for check in outcome.json()["checks"].as_array().unwrap() {
        let text = |key: &str| check[key].as_str().unwrap().to_owned();
        let is_explained = check["cause"].is_string() && check["cure"].is_string();
        assert_eq!(is_explained, check["verdict"] != "good", "{check:#}");
        all.entry(text("name"))
            .or_default()
            .push((text("verdict"), format!("{}: {}", text("subject"), text("message"))));
    }
    all
}

/// The text without what differs each time.
fn shown(outcome: &Outcome, names: &[(&str, &str)]) -> String {
    // What the machine has besides is told, too.
    let is_of_machine =
        |line: &&str| ["reload-units", "renewal-jobs", "service  "].iter().any(|name| line.contains(name));
    let mut text: String =
        outcome.stdout.lines().filter(|line| !is_of_machine(line)).map(|line| format!("{line}\n")).collect();
    for (from, to) in names {
        text = text.replace(from, to);
    }
    text
}

fn filtered(snapshot: impl FnOnce()) {
    let filters = [
        (r"\d+ good, ", "N good, "),
        (r"process(es)? \d+", "process PID"),
        (r"kill -USR1 \d+", "kill -USR1 PID"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "INSTANT"),
        (r"127\.0\.0\.1:\d+|localhost:\d+", "ADDRESS"),
        (r"within \d+ ms", "within N ms"),
        (r"(\d+ s|\d+ minutes|\d+ hours|\d+ days) from the time", "N s from the time"),
        (r"is \d+ s behind", "is N s behind"),
        (r"in \d+ (days|hours|minutes)", "in SPAN"),
        (r"\d+ (GiB|MiB) free", "ROOM free"),
        (r"with \d+ bytes", "with N bytes"),
        (r"takes \d{4,} bytes", "takes N bytes"),
        (r"tune.bufsize is \d+", "tune.bufsize is N"),
        (r"and \d+ files as", "and N files as"),
        (r"HAProxy (\d\.\d+)\.\d+[-+~a-z0-9]*", "HAProxy $1.x"),
        (r"acme-challenge/[A-Za-z0-9_-]{10,}…?", "acme-challenge/TOKEN"),
        (r"showed serial [0-9a-f]+", "showed serial SERIAL"),
    ];
    insta::with_settings!({ filters => filters.to_vec() }, { snapshot() });
}

#[test]
fn a_healthy_site_is_good_throughout() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let Site { haproxy, pebble, hotcert, .. } = &site;
    let config = format!(
        "version = 1\nstate_dir = {}\nresolver = \"{}\"\n[haproxy.edge]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n{}\
         [[certificate]]\nname = \"a.test\"\ndomains = [\"a.test\"]\n",
        quoted(hotcert.state_dir()),
        pebble.dns().addr(),
        quoted(haproxy.socket()),
        quoted(haproxy.crt_dir()),
        haproxy.https_addr(),
        site.authority_config(),
    );
    let file = hotcert.scratch().write("hotcert.toml", config).display().to_string();
    hotcert.run(["--config", &file, "renew"]).expect_code(0);
    let orders = pebble.orders();

    // Without the daemon nothing is renewed by itself.
    let before = snapshot_of(&hotcert.state_dir());
    let alone = hotcert.run(["--config", &file, "--json", "doctor"]).expect_code(2);
    let found = verdicts(&alone);
    assert_eq!(found["daemon"][0].0, "look", "{alone:?}");
    assert_eq!(snapshot_of(&hotcert.state_dir()), before, "the doctor changes nothing");
    let sidecar = Sidecar::start(hotcert, ["--config", &file]);
    let outcome = hotcert.run(["--config", &file, "doctor"]);
    assert_eq!(pebble.orders(), orders);
    site.expect_nothing_half_done();
    let names =
        [(hotcert.scratch().path().display().to_string(), "USER"), (haproxy.dir().display().to_string(), "HAPROXY")];
    let names: Vec<_> = names.iter().map(|(from, to)| (from.as_str(), *to)).collect();
    filtered(|| insta::assert_snapshot!("healthy", shown(&outcome, &names)));
    outcome.expect_code(0);
    sidecar.stop();
}

/// Every file below a directory, with its length and its time.
fn snapshot_of(directory: &Path) -> BTreeMap<String, (u64, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let found = entry.metadata().unwrap();
        if found.is_dir() {
            all.extend(snapshot_of(&entry.path()));
        } else {
            all.insert(entry.path().display().to_string(), (found.len(), found.modified().unwrap()));
        }
    }
    all
}

/// A site on which everything is wrong that can be: its configuration, and what holds it up.
struct Wreck {
    site: Site,
    config: String,
    _authority: ScriptedAuthority,
    _silent: UnixListener,
}

impl Wreck {
    fn new(version: HaproxyVersion) -> Self {
        let pki = Pki::new();
        let expired = pki.leaf("old.test").valid_days(-90, -10).issue();
        let builder = Haproxy::new(version).config(CARELESS).master();
        let builder = builder.certificate("old.test.pem", &expired.fullchain_and_key());
        let mut site = Site::with(builder, support::Pebble::new(PebbleVersion::V2_10));
        let authority = ScriptedAuthority::start(
            Some(Timestamp::now() + SignedDuration::from_hours(3)),
            SignedDuration::from_hours(24 * 90),
        );
        // Served, and then exchanged behind hotcert's back.
        let push = |site: &Site, leaf: &Leaf, name: &str| {
            site.hotcert.scratch().write("push.pem", leaf.fullchain_and_key());
            site.run(&["push", "push.pem", "--name", name, "--force"]).expect_code(0);
        };
        let soon = pki.leaf("b.test").valid_days(-89, 1).issue();
        push(&site, &soon, "b.test");
        push(&site, &pki.leaf("big.test").pem_size(20_000).issue(), "big.test");
        let with_less = site.haproxy.scratch().read("haproxy.cfg").replace("    tune.bufsize 65536\n", "");
        site.haproxy.scratch().write("haproxy.cfg", with_less);
        site.haproxy.restart();
        let slot = |name: &str| site.haproxy.crt_dir().join(name).display().to_string();
        site.haproxy.set_cert(&slot("b.test.pem"), &pki.leaf("b.test").issue().fullchain_and_key());
        // Somebody else's transaction, junk, and wrong modes.
        let begun = format!("set ssl cert {}", slot("old.test.pem"));
        let answer = site.haproxy.cli_payload(&begun, &expired.fullchain_and_key());
        assert!(answer.contains("Transaction created"), "{answer}");
        let scratch = site.haproxy.scratch();
        scratch.write("certs/README", "do not delete\n");
        scratch.write("certs/.b.test.pem.hotcert-1-0", "half");
        for (path, mode) in [("", 0o755), ("certs", 0o755), ("certs/old.test.pem", 0o644)] {
            scratch.chmod(path, mode);
        }
        site.hotcert.scratch().chmod("state", 0o750);
        let silent = UnixListener::bind(site.hotcert.scratch().join("silent.sock")).unwrap();
        site.hotcert.scratch().dir("elsewhere");
        site.pebble.dns().add_caa("a.test.", &[("issue", "other.test")]);

        let config = Self::config(&site, &authority);
        Self { site, config, _authority: authority, _silent: silent }
    }

    fn config(site: &Site, authority: &ScriptedAuthority) -> String {
        let Site { haproxy, pebble, hotcert, .. } = site;
        format!(
            "version = 1\nstate_dir = {}\nresolver = \"{}\"\n\
             [haproxy.edge]\nsocket = {}\nmaster = {}\ncrt_dir = {}\nverify = [\"{}\"]\n\
             [haproxy.gone]\nsocket = \"/nowhere/gone.sock\"\ncrt_dir = \"/nowhere/certs\"\n\
             [haproxy.low]\nsocket = {}\n\
             [haproxy.silent]\nsocket = {}\n\
             [haproxy.strange]\nmaster = {}\ncrt_dir = {}\n\
             {}\
             [issuer.ahead]\ndirectory = \"{}\"\nroot_ca = {}\n\
             [[certificate]]\nname = \"a.test\"\ndomains = [\"a.test\"]\nissuers = [\"pebble\", \"ahead\"]\nnodes = [\"edge\"]\n",
            quoted(hotcert.state_dir()),
            pebble.dns().addr(),
            quoted(haproxy.socket()),
            quoted(haproxy.master_socket()),
            quoted(haproxy.crt_dir()),
            haproxy.https_addr(),
            quoted(haproxy.dir().join("operator.sock")),
            quoted(hotcert.scratch().join("silent.sock")),
            quoted(haproxy.master_socket()),
            quoted(hotcert.scratch().join("elsewhere")),
            site.authority_config(),
            authority.directory(),
            quoted(authority.root_ca()),
        )
    }

    fn doctor(&self, arguments: &[&str]) -> Outcome {
        let file = self.site.hotcert.scratch().write("hotcert.toml", &self.config).display().to_string();
        let begun = Instant::now();
        let outcome = self.site.hotcert.run(["--config", &file, "doctor"].iter().chain(arguments));
        assert!(begun.elapsed() < QUICK, "{:?}\n{outcome:?}", begun.elapsed());
        outcome.expect_code(2)
    }
}

#[test]
fn a_wreck_is_told_in_full_and_in_time() {
    let wreck = Wreck::new(HaproxyVersion::V2_6);
    let found = verdicts(&wreck.doctor(&["--json"]));
    // Each with a part of what it says about the one thing.
    for (check, verdict, part) in [
        ("state-dir", "broken", "others may enter it"),
        ("socket", "look", "edge: every user of this machine"),
        ("socket", "broken", "gone: there is no socket /nowhere/gone.sock"),
        ("socket", "broken", "low: the level of"),
        ("socket", "broken", "silent: "),
        ("master-socket", "good", "edge: "),
        ("version", "good", "HAProxy 2.6"),
        ("payload", "broken", "certificate big.test is too large"),
        ("crt-dir", "broken", "may read 1 private key"),
        ("crt-dir", "look", "1 temporary file left"),
        ("crt-dir", "broken", "/nowhere/certs"),
        ("paths", "good", "edge: HAProxy reads"),
        ("paths", "broken", "strange: HAProxy reads no directory"),
        ("restart", "broken", "would not start with"),
        ("restart", "look", "serves another certificate in"),
        ("transaction", "broken", "edge: a certificate transaction"),
        ("twins", "good", "edge: nobody else"),
        ("served", "look", "step"),
        ("expiry", "look", "b.test: it expires at"),
        ("expiry", "look", "has expired at"),
        ("renewal", "look", "a.test: there is no certificate yet"),
        ("authority", "good", "pebble: "),
        ("authority", "broken", "ahead: "),
        ("clock", "broken", "behind the time of ahead"),
        ("dns", "good", "a.test: 127.0.0.1"),
        ("caa", "broken", "a.test: the CAA records at a.test forbid pebble"),
        ("http-01", "broken", "challenges for a.test would not reach hotcert"),
    ] {
        let said = found.get(check).unwrap_or_else(|| panic!("{check} is silent: {found:#?}"));
        let is_it = |(of, text): &(String, String)| of == verdict && text.contains(part);
        assert!(said.iter().any(is_it), "{check} does not say {part:?} ({verdict}): {said:#?}");
    }
    let Site { haproxy, hotcert, .. } = &wreck.site;
    assert!(haproxy.cli("show ssl cert").contains("# transaction"), "the doctor ends no transaction");

    let outcome = wreck.doctor(&["--quiet"]);
    let names =
        [(hotcert.scratch().path().display().to_string(), "USER"), (haproxy.dir().display().to_string(), "HAPROXY")];
    let names: Vec<_> = names.iter().map(|(from, to)| (from.as_str(), *to)).collect();
    filtered(|| insta::assert_snapshot!("wreck", shown(&outcome, &names)));
}

#[test]
fn a_forgotten_process_and_what_a_reload_leaves_are_found() {
    let pki = Pki::new();
    let mut haproxy = Haproxy::new(HaproxyVersion::V3_2).master().start();
    let hotcert = Hotcert::new();
    let config = format!(
        "version = 1\nstate_dir = {}\n[haproxy.edge]\nsocket = {}\nmaster = {}\ncrt_dir = {}\nverify = [\"{}\"]\n",
        quoted(hotcert.state_dir()),
        quoted(haproxy.socket()),
        quoted(haproxy.master_socket()),
        quoted(haproxy.crt_dir()),
        haproxy.https_addr(),
    );
    let file = hotcert.scratch().write("hotcert.toml", config).display().to_string();
    let leaf = pki.leaf("a.test").issue();
    hotcert.scratch().write("a.pem", leaf.fullchain_and_key());
    hotcert.run(["--config", &file, "push", "a.pem", "--name", "a.test"]).expect_code(0);
    let doctor = || verdicts(&hotcert.run(["--config", &file, "--json", "doctor"]));
    assert_eq!(doctor()["twins"][0].0, "good");

    let busy = std::net::TcpStream::connect(haproxy.https_addr()).unwrap();
    haproxy.reload();
    let found = doctor();
    assert_eq!(found["old-workers"], [("good".to_owned(), "edge: 1 old worker, up to date".to_owned())], "{found:#?}");
    let config = "global\n    stats socket {socket} level admin\ndefaults\n    mode http\n    timeout client 5s\n    \
                  timeout server 5s\n    timeout connect 5s\nfrontend https\n    bind 127.0.0.1:{port} ssl crt {dir}/certs/\n";
    let config = config.replace("{port}", &haproxy.https_addr().port().to_string());
    let twin = Haproxy::new(HaproxyVersion::V3_2).config(&config);
    let twin = twin.certificate("old.pem", &leaf.fullchain_and_key()).start();
    let found = doctor();
    let (verdict, said) = &found["twins"][0];
    assert!(verdict != "good" && said.contains(&format!("process {}", twin.pid())), "{found:#?}");
    drop(busy);
}

#[test]
fn a_user_who_may_not_is_told_which_group_to_join() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).start();
    haproxy.scratch().chmod("", 0o755);
    let hotcert = Hotcert::new().unprivileged();
    let doctor = |arguments: &[&str]| {
        let socket = haproxy.socket().display().to_string();
        let state = hotcert.state_dir().display().to_string();
        let all = ["doctor", "--json", "--socket", &socket, "--state-dir", &state];
        hotcert.run(all.iter().chain(arguments)).expect_code(2)
    };
    let outcome = doctor(&["--crt-dir", haproxy.crt_dir().to_str().unwrap()]);
    let check = |name: &str| -> Value {
        let json = outcome.json();
        json["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
    };
    let socket = check("socket");
    assert!(socket["message"].as_str().unwrap().starts_with("user nobody may not open"), "{socket:#}");
    assert!(socket["cause"].as_str().unwrap().contains("root:root, mode 0600"), "{socket:#}");
    assert!(socket["cure"].as_str().unwrap().contains("usermod -aG haproxy nobody"), "{socket:#}");
    assert_eq!(check("crt-dir")["verdict"], "broken", "{outcome:?}");
}

#[tokio::test]
async fn jobs_of_others_and_the_service_are_looked_at_below_any_root() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, mode: u32, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let state = root.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let examine = async || {
        let flags = Flags { state_dir: Some(state.clone()), ..Flags::default() };
        let config = Config::load(Some(&root.path().join("hotcert.toml")), &flags).unwrap();
        let doctor = Doctor {
            store: Store::to_look_at(&config.state_dir),
            config: Arc::new(config),
            clock: Arc::new(SystemClock),
            connect: Arc::new(SystemConnect),
            root: root.path().to_owned(),
        };
        doctor.examine().await
    };
    let of = |findings: &[Finding], check: Check| -> Vec<Finding> {
        findings.iter().filter(|finding| finding.name == check).cloned().collect()
    };
    write("hotcert.toml", 0o600, "version = 1\n");
    write("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\n");
    write("etc/systemd/system/a.service", 0o644, "[Service]\nExecStart=true\n");
    let quiet = examine().await;
    for check in [Check::ReloadUnits, Check::RenewalJobs] {
        let said = of(&quiet, check);
        assert!(said.len() == 1 && said[0].cause.is_none(), "{said:#?}");
    }
    assert_eq!(of(&quiet, Check::Service), []);

    write("etc/systemd/system/hotcert.service", 0o644, "[Service]\nUser=hotcert\nExecStart=hotcert run\n");
    write("etc/systemd/system/haproxy-certs.path", 0o644, "[Path]\nPathModified=/etc/haproxy/certs\n");
    write("etc/systemd/system/haproxy-certs.service", 0o644, "[Service]\nExecStart=systemctl reload haproxy\n");
    write(
        "etc/cron.d/certbot",
        0o644,
        "# x\n0 3 * * * root certbot renew --deploy-hook \"systemctl reload haproxy\"\n",
    );
    let loud = examine().await;
    let service = of(&loud, Check::Service);
    assert!(service[0].message.contains("user hotcert, who does not exist"), "{service:#?}");
    let units = of(&loud, Check::ReloadUnits);
    assert_eq!(units[0].subject, "/etc/systemd/system/haproxy-certs.service:2");
    assert!(units[0].message.contains("set off by haproxy-certs.path"), "{units:#?}");
    assert!(units[0].cure.as_ref().unwrap().contains("systemctl disable --now haproxy-certs.path"), "{units:#?}");
    let jobs = of(&loud, Check::RenewalJobs);
    assert_eq!(jobs[0].subject, "/etc/cron.d/certbot:2");

    // The user is there, and may not enter the state directory, which belongs to root.
    write("etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\nhotcert:x:990:990::/:/bin/false\n");
    write("etc/group", 0o644, "root:x:0:\n");
    let service = of(&examine().await, Check::Service);
    assert!(service[0].message.contains("user hotcert, who may not write to"), "{service:#?}");
}

#[test]
fn without_flags_and_configuration_the_haproxys_of_the_machine_are_found() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).master().start();
    let mut host = Host::look();
    // Those of other tests run beside it.
    host.instances.retain(|instance| instance.configuration.files.contains(&haproxy.dir().join("haproxy.cfg")));
    let nodes = nodes_here(&host);
    let [node] = &nodes[..] else { panic!("{nodes:#?}") };
    assert_eq!(node.socket, Address::Unix(haproxy.socket()));
    assert_eq!(node.master.as_ref().unwrap().to_string(), format!("master@{}", haproxy.master_socket().display()));
    assert_eq!((&node.crt_dir, &node.haproxy_crt_dir), (&Some(haproxy.crt_dir()), &None));
    assert_eq!(node.verify, [haproxy.https_addr().to_string().parse().unwrap()]);
}

#[test]
fn the_page_lists_every_check_and_no_other() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: Vec<&str> = rows.collect();
    let known: Vec<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
    assert_eq!(listed, known, "in the order in which they are told");
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
}
