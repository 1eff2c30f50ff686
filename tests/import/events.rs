//! What happens is told to a real program and to a real server: each thing once, also after a restart.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::support::{Haproxy, HaproxyVersion, House, Leaf, Outcome, Sidecar, poll};

/// How long it may take until something is told.
const DEADLINE: Duration = Duration::from_secs(20);

/// A request: its head in lower case, and its body.
type Request = (String, Value);

/// A server that takes whatever it is told.
fn listener() -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while reader.read_line(&mut head).unwrap_or(0) > 2 {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = reader.read_exact(&mut body);
            let _ = (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            let _ = sender.send((head, serde_json::from_slice(&body).unwrap_or_default()));
        }
    });
    (format!("http://{address}/hooks/secret-path"), received)
}

/// What the program was told, as `event certificate node serial`.
fn told(file: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    events.map(|event| ["event", "certificate", "node", "serial"].map(|key| word(&event[key])).join(" ")).collect()
}

#[test]
fn each_thing_is_told_once_by_commands_and_by_the_daemon_and_not_again_after_a_restart() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let scratch = house.hotcert.scratch();
    let (file, environment) = (scratch.join("told"), scratch.join("environment"));
    let (url, received) = listener();
    let token = scratch.write("token", "a-secret-token\n");
    // Reads its event in one piece, so that two that run at a time do not mix.
    let script = format!("e=$(cat); echo \"$e\" >> '{}'; env | sort > '{}'", file.display(), environment.display());
    let rest = format!(
        "[[hook]]\non = [\"renewed\", \"loaded\", \"failed\", \"expiring\"]\nrun = [\"/bin/sh\", \"-c\", {script:?}]\n\
         [[hook]]\non = \"renewed\"\nrun = [\"/bin/false\"]\n\
         [[webhook]]\non = \"loaded\"\nurl = \"{url}\"\ntoken_file = {token:?}\n"
    );
    let flags = house.flags_and(&rest);
    let run = |words: &[&str]| house.hotcert.run(words.iter().map(OsString::from).chain(flags.iter().cloned()));
    let push = || {
        let (leaf, pem) = house.leaf("shop.test");
        (leaf, run(&["push", &pem]).expect_code(0))
    };
    let lines = |leaf: &Leaf| {
        let renewed = format!("renewed shop.test - {}", leaf.serial());
        [renewed, format!("loaded shop.test node0 {}", leaf.serial())]
    };

    // A command tells by itself, and one that fails to tell has not failed.
    let (first, said) = push();
    assert_eq!(told(&file), lines(&first), "{said:?}");
    assert!(said.stderr.contains("/bin/false"), "{said:?}");
    let environment = fs::read_to_string(environment).unwrap();
    for variable in
        ["HOTCERT_EVENT=loaded", "HOTCERT_CERTIFICATE=shop.test", "HOTCERT_DOMAINS=shop.test", "HOTCERT_NODE=node0"]
    {
        assert!(environment.lines().any(|line| line == variable), "{variable} in {environment}");
    }
    let known = ["HOTCERT_", "PATH=", "PWD=", "SHLVL=", "OLDPWD=", "_="];
    assert!(environment.lines().all(|line| known.iter().any(|name| line.starts_with(name))), "{environment}");
    let (head, body) = received.recv_timeout(DEADLINE).unwrap();
    assert!(head.starts_with("post /hooks/secret-path "), "{head}");
    let id = body["id"].as_str().unwrap();
    for header in [
        "content-type: application/json".to_owned(),
        "authorization: bearer a-secret-token".to_owned(),
        format!("idempotency-key: {id}"),
    ] {
        assert!(head.contains(&header), "{header} in {head}");
    }
    assert_eq!((&body["event"], &body["certificate"]), (&"loaded".into(), &"shop.test".into()));
    let shown = run(&["config", "show"]);
    assert!(!format!("{said:?}{shown:?}").contains("secret"), "{said:?}{shown:?}");

    // The daemon goes on from there, and tells what is pushed through it.
    let daemon = Sidecar::start(&house.hotcert, &flags);
    let (second, _) = push();
    let until_now = [lines(&first), lines(&second)].concat();
    poll(DEADLINE, || (told(&file).len() >= until_now.len()).then_some(()))
        .unwrap_or_else(|| panic!("{}", daemon.log()));
    assert_eq!(told(&file), until_now);
    drop(daemon.stop());

    let daemon = Sidecar::start(&house.hotcert, &flags);
    let (third, _) = push();
    let until_now = [until_now.as_slice(), &lines(&third)].concat();
    poll(DEADLINE, || (told(&file).len() >= until_now.len()).then_some(()))
        .unwrap_or_else(|| panic!("{}", daemon.log()));
    assert_eq!(told(&file), until_now);
    assert!(!daemon.log().contains("secret"), "{}", daemon.log());
}

#[test]
fn a_certificate_that_runs_out_and_a_node_that_is_gone_are_told_once() {
    let mut house = House::new([Haproxy::new(HaproxyVersion::V2_6)]);
    let scratch = house.hotcert.scratch();
    let file = scratch.join("told");
    let script = format!("e=$(cat); echo \"$e\" >> '{}'", file.display());
    let rest = format!("[[hook]]\non = [\"failed\", \"expiring\"]\nrun = [\"/bin/sh\", \"-c\", {script:?}]\n");
    let flags = house.flags_and(&rest);
    // A tenth of its life is left, and a little more than a twentieth.
    let leaf = house.pki.leaf("old.test").valid_days(-92, 8).issue();
    let pem = scratch.write("old.pem", leaf.fullchain_and_key());
    let push = ["push".into(), pem.into_os_string()];
    house.hotcert.run(push.into_iter().chain(flags.iter().cloned())).expect_code(0);
    let expiring = format!("expiring old.test - {}", leaf.serial());
    assert_eq!(told(&file), std::slice::from_ref(&expiring));

    let daemon = Sidecar::start(&house.hotcert, &flags);
    house.haproxy().kill();
    let failed = poll(DEADLINE, || told(&file).get(1).cloned()).unwrap_or_else(|| panic!("{}", daemon.log()));
    assert!(failed.starts_with("failed"), "{failed}");
    assert_eq!(told(&file).iter().filter(|line| **line == expiring).count(), 1);
}

fn run(house: &House, flags: &[OsString], words: &[&str]) -> Outcome {
    house.hotcert.run(words.iter().map(OsString::from).chain(flags.iter().cloned()))
}

/// The letters that are still to be delivered.
fn letters(house: &House) -> Vec<Value> {
    let told = fs::read_to_string(house.hotcert.state_dir().join("told.json")).unwrap();
    serde_json::from_str::<Value>(&told).unwrap()["letters"].as_array().unwrap().clone()
}

#[test]
fn a_webhook_behind_tls_is_told_where_its_root_is_known() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let port = house.nodes[0].https_addr().port();
    let hook = format!("[[webhook]]\non = \"loaded\"\nurl = \"https://localhost:{port}/\"\n");
    // By then HAProxy has the certificate by which it answers.
    let (_, pem) = house.leaf("localhost");
    let said = run(&house, &house.flags_and(&hook), &["push", &pem]).expect_code(0);
    assert!(said.stderr.contains("set `root_ca` of the webhook") && said.stderr.contains("retry_in=10"), "{said:?}");
    let waiting = letters(&house);
    assert_eq!((waiting.len(), &waiting[0]["attempts"]), (1, &1.into()), "{said:?}");

    let root = house.hotcert.scratch().write("root.pem", house.pki.root_pem());
    let flags = house.flags_and(&format!("{hook}root_ca = {root:?}\n"));
    let daemon = Sidecar::start(&house.hotcert, &flags);
    let is_told = || (letters(&house).is_empty() && daemon.log().contains(" told ")).then_some(());
    poll(DEADLINE, is_told).unwrap_or_else(|| panic!("{}", daemon.log()));
}

#[test]
fn an_order_that_fails_is_told_once_whoever_notices_and_a_hook_that_hangs_holds_up_no_other() {
    let house = House::new([Haproxy::new(HaproxyVersion::V2_8)]);
    let scratch = house.hotcert.scratch();
    let (file, begun) = (scratch.join("told"), scratch.join("begun"));
    let script = format!("e=$(cat); echo \"$e\" >> '{}'", file.display());
    // Nobody listens at the port of an authority that is switched off.
    let rest = format!(
        "[issuer.off]\ndirectory = \"https://127.0.0.1:1/dir\"\nterms_agreed = true\n\
         [solver.http]\ntype = \"http-01\"\nvia = \"stateless\"\n\
         [[hook]]\non = [\"renewed\", \"loaded\", \"failed\"]\nrun = [\"/bin/sh\", \"-c\", {script:?}]\n"
    );
    let flags = house.flags_and(&rest);
    let failing = |name: &str, flags: &[OsString]| {
        let said = run(&house, flags, &["issue", name]);
        assert_ne!(said.code, Some(0), "{said:?}");
        said
    };
    let said = failing("new.test", &flags);
    assert_eq!(told(&file), ["failed new.test - -"], "{said:?}");
    failing("new.test", &flags);
    assert_eq!(told(&file).len(), 1, "it was told twice");

    // What a rollback loads is told as what is pushed.
    let first = house.leaf("shop.test");
    let second = house.leaf("shop.test");
    for (_, pem) in [&first, &second] {
        run(&house, &flags, &["push", pem]).expect_code(0);
    }
    run(&house, &flags, &["rollback", "shop.test"]).expect_code(0);
    let back = format!("loaded shop.test node0 {}", first.0.serial());
    assert_eq!(told(&file).last(), Some(&back));

    // Through a daemon, while another program hangs.
    let released = scratch.join("released");
    rustix::fs::mkfifoat(rustix::fs::CWD, &released, 0o600.into()).unwrap();
    let slow = format!("echo > '{}'; exec timeout 60 cat '{}'", begun.display(), released.display());
    let slow = format!("[[hook]]\non = \"loaded\"\nrun = [\"/bin/sh\", \"-c\", {slow:?}]\n");
    let daemon = Sidecar::start(&house.hotcert, house.flags_and(&format!("{rest}{slow}")));
    let flags = house.flags_and(&format!("{rest}{slow}"));
    run(&house, &flags, &["push", &second.1, "--force"]).expect_code(0);
    poll(DEADLINE, || begun.exists().then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
    failing("other.test", &flags);
    let failed = "failed other.test - -".to_owned();
    poll(DEADLINE, || told(&file).contains(&failed).then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
    assert!(!daemon.log().contains("was killed"), "{}", daemon.log());
    // The one that hangs is left.
    poll(DEADLINE, || (letters(&house).len() == 1).then_some(())).unwrap_or_else(|| panic!("{}", daemon.log()));
    // It is waited for when the daemon is to stop.
    fs::write(released, "").unwrap();
    daemon.stop().0.expect_code(0);
    assert_eq!(letters(&house), Vec::<Value>::new());
}
