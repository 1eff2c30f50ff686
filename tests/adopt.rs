//! `config init` and `config haproxy` beside a real HAProxy, from nothing to a certificate that is served.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;
use support::process::{Process, tree};
use support::{HaproxyVersion, Hotcert, Outcome, Pebble, PebbleVersion, Pki, SERVER_DEADLINE, Scratch, client};

const GLOBAL: &str = "global\n    maxconn 1000\n    stats socket {dir}/admin.sock mode 600 level admin\n";
const DEFAULTS: &str =
    "defaults\n    mode http\n    timeout client 10s\n    timeout server 10s\n    timeout connect 5s\n";

/// A HAProxy on ports 80 and 443 of an address of its own.
struct Edge {
    process: Process,
    scratch: Scratch,
    ip: Ipv4Addr,
    command: Vec<String>,
}

impl Edge {
    /// In texts and in the command, `{dir}` and `{ip}` stand for what is its own, and `{haproxy}` for the program.
    fn start(version: HaproxyVersion, files: &[(&str, &str)], command: &[&str]) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let part = |number: u32| u8::try_from(number % 250 + 1).unwrap();
        let ip = Ipv4Addr::new(127, part(process / 250), part(process), NEXT.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch::new();
        for directory in ["certs", "inside", "jail", "conf.d"] {
            scratch.dir(directory);
        }
        let (dir, program) = (scratch.path().display().to_string(), version.program().display().to_string());
        let own =
            |text: &str| text.replace("{dir}", &dir).replace("{ip}", &ip.to_string()).replace("{haproxy}", &program);
        for (name, text) in files {
            scratch.write(name, own(text));
        }
        let command: Vec<String> = command.iter().map(|word| own(word)).collect();
        let process = launch(&command, &scratch);
        let mut edge = Self { process, scratch, ip, command };
        edge.wait();
        edge
    }

    /// With one file.
    fn plain(version: HaproxyVersion, text: &str) -> Self {
        let placeholder = Pki::self_signed("placeholder.test").fullchain_and_key();
        let files = [("haproxy.cfg", text), ("placeholder.pem", &placeholder)];
        Self::start(version, &files, &["{haproxy}", "-db", "-f", "{dir}/haproxy.cfg"])
    }

    fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.command, &self.scratch);
        self.wait();
    }

    fn wait(&mut self) {
        let (socket, root) = (self.socket(), self.process.id());
        let is_ready = || {
            let mut stream = UnixStream::connect(&socket).ok()?;
            stream.write_all(b"show info\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let pid: u32 = answer.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()?;
            tree(root).contains(&pid).then_some(())
        };
        self.process.wait_ready(SERVER_DEADLINE, is_ready).unwrap_or_else(|error| panic!("{error}"));
    }

    fn socket(&self) -> PathBuf {
        self.scratch.join("admin.sock")
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn names(&self, sni: &str) -> Vec<String> {
        client::handshake((self.ip, 443).into(), sni, client::Options::default()).unwrap().names
    }
}

fn launch(command: &[String], scratch: &Scratch) -> Process {
    let (program, rest) = command.split_first().unwrap();
    Process::spawn("haproxy", Command::new(program).args(rest), &scratch.join("haproxy.log"))
}

/// A user, and the authority that they order from.
struct User {
    hotcert: Hotcert,
    pebble: Pebble,
}

impl User {
    fn of(edge: &Edge) -> Self {
        let pebble = Pebble::new(PebbleVersion::V2_10).http01((edge.ip, 80).into()).start();
        pebble.dns().set_default_ipv4(&edge.ip.to_string());
        Self { hotcert: Hotcert::new(), pebble }
    }

    /// The file that is written.
    fn file(&self) -> String {
        self.hotcert.scratch().join("etc/hotcert.toml").display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let file = self.file();
        self.hotcert.run(arguments.iter().copied().chain(["--config", &file]))
    }

    fn init(&self, edge: &Edge, more: &[&str]) -> Outcome {
        let (directory, root_ca) = (self.pebble.directory(), self.pebble.root_ca().display().to_string());
        let (socket, state) = (edge.socket().display().to_string(), self.hotcert.state_dir().display().to_string());
        let probe = format!("{}:80", edge.ip);
        let flags =
            ["config", "init", "--socket", &socket, "--state-dir", &state, "--directory", &directory, "--root-ca"];
        let more = [&root_ca, "--contact", "admin@example.org", "--agree-terms", "--http-01-probe", &probe]
            .into_iter()
            .chain(more.iter().copied());
        self.run(&flags.into_iter().chain(more).collect::<Vec<_>>())
    }

    /// The file loads, and nothing is to be said about it.
    fn expect_good_file(&self) -> String {
        let checked = self.run(&["config", "check"]).expect_code(0);
        assert_eq!(checked.stderr, "", "{checked:?}");
        fs::read_to_string(self.file()).unwrap()
    }
}

/// Puts lines where they are said to be missing.
fn apply(text: &str, missing: &Value) -> String {
    let mut after: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
    let mut end = String::new();
    for entry in missing.as_array().unwrap() {
        let (how, lines) = (entry["how"].as_str().unwrap(), entry["lines"].as_str().unwrap());
        match entry["place"].as_str() {
            Some(place) => {
                let line = place.rsplit(':').next().unwrap().parse().unwrap();
                after.entry(line).or_default().push((how.to_owned(), lines.to_owned()));
            }
            None => end.push_str(&format!("{lines}\n")),
        }
    }
    let mut out = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut line = line.to_owned();
        for (how, lines) in after.get(&number).into_iter().flatten() {
            line = match how.as_str() {
                "append" => format!("{line} {lines}"),
                "replace" => lines.clone(),
                _ => format!("{line}\n{lines}"),
            };
        }
        out.push_str(&format!("{line}\n"));
    }
    out + &end
}

fn from_nothing_to_a_served_certificate(version: HaproxyVersion) {
    let bare = format!(
        "{GLOBAL}{DEFAULTS}frontend web\n    bind {{ip}}:80\n    redirect scheme https\n\
         frontend shop\n    bind {{ip}}:443 ssl crt {{dir}}/placeholder.pem\n    http-request return status 200\n"
    );
    let mut edge = Edge::plain(version, &bare);
    let user = User::of(&edge);
    let (listen, certs) = (format!("{}:63443", edge.ip), edge.path("certs"));
    let init = user.init(&edge, &["--http-01-listen", &listen, "--crt-dir", &certs]).expect_code(0);
    assert!(init.stdout.contains("hotcert config haproxy"), "{init:?}");
    assert!(init.stderr.contains("no bind line of HAProxy loads a directory"), "{init:?}");
    // It says where handshakes will prove what is served once the lines are in.
    let verify = format!("verify = [\"{}:443\"]", edge.ip);
    assert!(user.expect_good_file().contains(&verify), "{init:?}");

    // A file that is there is not lost.
    let again = user.init(&edge, &[]).expect_code(1);
    assert!(again.stderr.contains("is there already") && again.stderr.contains("--force"), "{again:?}");

    // What is missing is put where it is said to go, and then nothing is.
    let lines = user.run(&["config", "haproxy"]).expect_code(0).stdout;
    assert!(lines.contains(&format!("haproxy.cfg:13 (frontend shop):\ncrt {certs}/\n")), "{lines}");
    let document = user.run(&["config", "haproxy", "--json"]).expect_code(0).json();
    let missing = &document["nodes"]["haproxy"]["missing"];
    assert_eq!(missing.as_array().unwrap().len(), 4, "{document:#}");
    let config = edge.scratch.read("haproxy.cfg");
    edge.scratch.write("haproxy.cfg", apply(&config, missing));
    edge.restart();
    let lines = user.run(&["config", "haproxy"]).expect_code(0).stdout;
    assert!(
        lines.starts_with("# Nothing is missing in ") && lines.lines().all(|line| line.starts_with('#')),
        "{lines}"
    );

    // Then the file needs no flag to say what HAProxy's configuration says, and it does not have to be edited.
    let init = user.init(&edge, &["--force"]).expect_code(0);
    assert_eq!(init.stderr, "", "{init:?}");
    assert!(!init.stdout.contains("config haproxy"), "{init:?}");
    let file = user.expect_good_file();
    for line in [
        format!("socket = \"{}\"", edge.socket().display()),
        format!("crt_dir = \"{certs}\""),
        verify,
        format!("listen = \"{listen}\""),
    ] {
        assert!(file.contains(&line), "{line}\n{file}");
    }
    let issued = user.run(&["issue", "shop.test"]).expect_code(0);
    assert_eq!(edge.names("shop.test"), ["shop.test"], "{issued:?}");
    let status = user.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["certificates"][0]["nodes"][0]["verified"], "handshake", "{status:#}");
}

#[test]
fn from_nothing_to_a_served_certificate_with_an_old_haproxy() {
    from_nothing_to_a_served_certificate(HaproxyVersion::V2_6);
}

#[test]
fn from_nothing_to_a_served_certificate_with_a_new_haproxy() {
    from_nothing_to_a_served_certificate(HaproxyVersion::V3_2);
}

/// Several files, variables, a chroot, a crt-list, a master with its socket, challenges that are led somewhere already.
#[test]
fn a_grown_configuration_is_understood() {
    let old = Pki::self_signed("old.test").fullchain_and_key();
    let global = "global\n    setenv RUN {dir}\n    maxconn 1000\n    chroot {dir}/jail\n    stats socket \"${RUN}/user.sock\" level user\n\
                  \x20   stats socket \"${RUN}/admin.sock\" mode 600 level admin\n.if defined(NOWHERE)\n    stats socket /nowhere level admin\n.endif\n";
    let web = "frontend web\n    bind {ip}:80\n    http-request redirect scheme https unless { path_beg /.well-known/acme-challenge/ }\n\
               \x20   use_backend challenges if { path_beg /.well-known/acme-challenge/ }\n\
               frontend shop\n    bind {ip}:443 ssl crt-list {dir}/list.txt strict-sni\n    http-request return status 200\n\
               backend challenges\n    server it {ip}:8888\n";
    let files = [
        ("conf.d/10-global.cfg", global),
        ("conf.d/20-defaults.cfg", DEFAULTS),
        ("conf.d/30-web.cfg", web),
        ("conf.d/README", "frontend nonsense\n"),
        ("list.txt", "{dir}/certs/old.pem\n"),
        ("certs/old.pem", &old),
    ];
    let edge = Edge::start(
        HaproxyVersion::V3_0,
        &files,
        &["{haproxy}", "-W", "-S", "{dir}/master.sock", "-f", "{dir}/conf.d"],
    );
    let user = User::of(&edge);
    let init = user.init(&edge, &[]).expect_code(0);
    assert_eq!(init.stderr, "", "{init:?}");
    let file = user.expect_good_file();
    for line in [
        format!("socket = \"{}\"", edge.socket().display()),
        format!("master = \"{}\"", edge.path("master.sock")),
        format!("crt_list = \"{}\"", edge.path("list.txt")),
        format!("crt_dir = \"{}\"", edge.path("certs")),
        format!("listen = \"{}:8888\"", edge.ip),
        format!("verify = [\"{}:443\"]", edge.ip),
    ] {
        assert!(file.contains(&line), "{line}\n{file}");
    }
    let lines = user.run(&["config", "haproxy"]).expect_code(0).stdout;
    assert!(lines.starts_with("# Nothing is missing"), "{lines}");
    user.run(&["issue", "shop.test"]).expect_code(0);
    assert_eq!(edge.names("shop.test"), ["shop.test"]);
    assert_eq!(edge.names("old.test"), ["old.test"]);
}

/// Two of them are two nodes; what one of them may not do is told, and what is elsewhere for it is found.
#[test]
fn each_haproxy_is_a_node_with_its_own_places() {
    let site = format!(
        "{GLOBAL}{DEFAULTS}frontend shop\n    bind {{ip}}:443 ssl crt {{dir}}/inside/ strict-sni\n    http-request return status 200\n"
    );
    let operator = site.replace("level admin", "level operator");
    let first = Edge::plain(HaproxyVersion::V2_8, &operator);
    // It sees another directory under the name that it uses.
    let script = "mount --bind {dir}/certs {dir}/inside && exec {haproxy} -db -f {dir}/haproxy.cfg";
    let second =
        Edge::start(HaproxyVersion::V2_6, &[("haproxy.cfg", &site)], &["unshare", "--mount", "sh", "-c", script]);
    let user = User::of(&first);
    let other = second.socket().display().to_string();
    let init = user.init(&first, &["--socket", &other, "--json"]).expect_code(0);
    let nodes = &init.json()["nodes"];
    assert_eq!(
        (nodes[0]["name"].as_str(), nodes[1]["name"].as_str()),
        (Some("haproxy"), Some("haproxy-2")),
        "{init:?}"
    );
    assert!(init.stderr.contains("no permission") || init.stderr.contains("level admin"), "{init:?}");
    assert_eq!(nodes[0]["haproxy_crt_dir"], Value::Null);
    assert_eq!(nodes[1]["crt_dir"].as_str().unwrap(), second.path("certs"), "{init:?}");
    assert_eq!(nodes[1]["haproxy_crt_dir"].as_str().unwrap(), second.path("inside"));
    user.expect_good_file();
    let lines = user.run(&["config", "haproxy"]).expect_code(0).stdout;
    assert!(lines.contains("# Instead of the line") && lines.contains("level admin"), "{lines}");

    // It would not start again: the directory is still empty.
    let lax = first.scratch.read("haproxy.cfg").replace(" strict-sni", "");
    first.scratch.write("haproxy.cfg", lax);
    assert!(!lines.lines().any(|line| line == "strict-sni"), "{lines}");
    let lines = user.run(&["config", "haproxy"]).expect_code(0).stdout;
    assert!(lines.lines().any(|line| line == "strict-sni"), "{lines}");
}

#[test]
fn who_may_not_look_is_told_who_may() {
    let edge = Edge::plain(HaproxyVersion::V2_6, &format!("{GLOBAL}{DEFAULTS}"));
    edge.scratch.chmod("haproxy.cfg", 0o600);
    let hotcert = Hotcert::new().unprivileged();
    let socket = edge.socket().display().to_string();
    let init = hotcert.run(["config", "init", "--output", "-", "--socket", &socket]).expect_code(0);
    assert!(init.stderr.contains("haproxy.cfg: permission denied; run this command as root"), "{init:?}");
    assert!(init.stderr.contains("run as a member of the socket's group"), "{init:?}");
    assert!(init.stdout.contains(&format!("socket = \"{socket}\"")) && init.stdout.contains("# NOTE: "), "{init:?}");
}

/// In a world of their own: what runs is found without a flag, and what anybody could have started is not believed.
#[test]
fn a_haproxy_is_found_by_itself_and_a_stranger_is_not_believed() {
    let scratch = Scratch::new();
    let dir = scratch.path().display().to_string();
    scratch.write("haproxy.cfg", format!("{GLOBAL}    node front\n{DEFAULTS}").replace("{dir}", &dir));
    scratch.write("evil.cfg", "global\n    stats socket /tmp/evil.sock level admin\n");
    let script = format!(
        "{haproxy} -D -f {dir}/haproxy.cfg && setpriv --reuid=65534 --clear-groups bash -c 'exec -a haproxy sleep 1000 -f {dir}/evil.cfg' 2>/dev/null &\n\
         until grep -qs sleep /proc/[0-9]*/comm && [ -S {dir}/admin.sock ]; do :; done\n\
         exec {hotcert} config init --json --output -",
        haproxy = HaproxyVersion::V3_2.program().display(),
        hotcert = env!("CARGO_BIN_EXE_hotcert"),
    );
    let script = script.replace("sleep 1000 -f", "sleep 1000; : -f");
    let output = Command::new("timeout")
        .args(["60", "unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "bash", "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1, "{found:#}");
    assert_eq!(nodes[0]["name"].as_str(), Some("front"));
    // Where the lines of `config haproxy` will listen, for nobody does yet.
    assert_eq!(nodes[0]["verify"].to_string(), "[\"127.0.0.1:443\"]", "{found:#}");
    assert!(found["notes"].to_string().contains("is a HAProxy of user 65534"), "{found:#}");
}
