//! Probes, and how the server behaves at its beginning and its end.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use crate::scrape::{get, get_as, observe};
use crate::support::net::Port;
use crate::support::sidecar::{DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, House, Sidecar, poll};

fn house() -> House {
    House::new([Haproxy::new(HaproxyVersion::V3_2)])
}

/// A second node in the configuration, which has nothing but a socket.
fn other_node(socket: &std::path::Path) -> String {
    format!("[haproxy.other]\nsocket = {}\n", quoted(socket))
}

/// How many sockets of a process wait for connections from the network.
fn listening(process: u32) -> usize {
    let waits = |table: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let waiting = rows.filter(|row| row.get(3) == Some(&"0A"));
        waiting.filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]"))).collect::<Vec<_>>()
    };
    let waiting = [waits("tcp"), waits("tcp6")].concat();
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.to_str().is_some_and(|link| waiting.iter().any(|socket| socket == link)))
        .count()
}

#[test]
fn nothing_listens_unless_it_is_configured() {
    let (house, port) = (house(), Port::reserve());
    let sidecar = house.sidecar();
    assert_eq!(listening(sidecar.id()), 0);
    sidecar.stop().0.expect_code(0);
    let sidecar = Sidecar::start(&house.hotcert, house.flags_and(&observe(&port)));
    poll(DEADLINE, || (get(&port, "/healthz")?.status == 200).then_some(())).unwrap();
    assert_eq!(listening(sidecar.id()), 1);
}

#[test]
fn a_sidecar_is_ready_when_each_node_was_tried_even_one_that_is_away() {
    let (house, port) = (house(), Port::reserve());
    let socket = house.hotcert.scratch().join("hangs.sock");
    // It accepts, and never answers.
    let _hangs = UnixListener::bind(&socket).unwrap();
    let sidecar = Sidecar::start_unready(&house.hotcert, house.flags_and(&(other_node(&socket) + &observe(&port))));
    let early = poll(DEADLINE, || get(&port, "/readyz")).unwrap_or_else(|| panic!("{}", sidecar.log()));
    assert_eq!((early.status, early.text().as_str()), (503, "not ok\nnot every node was tried yet\n"));
    assert_eq!(get(&port, "/healthz").unwrap().text(), "ok\n");

    let ready = poll(DEADLINE, || Some(get(&port, "/readyz")?).filter(|answer| answer.status == 200));
    let ready = ready.unwrap_or_else(|| panic!("{}", sidecar.log())).text();
    assert!(ready.starts_with("ok\nnode other is away\n"), "{ready}");
    let answer = get_as(&port, "/readyz", "application/json");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&json["ok"], &json["problems"][0]), (&true.into(), &"node other is away".into()), "{json}");
}

#[test]
fn an_address_in_use_is_told_and_keeps_nobody_from_their_work() {
    let (house, port) = (house(), Port::reserve());
    let taken = TcpListener::bind(port.addr()).unwrap();
    let mut sidecar = Sidecar::start(&house.hotcert, house.flags_and(&observe(&port)));
    sidecar.wait_for(&format!("metrics cannot be served at {}", port.addr()));
    let hint = format!("`ss -ltnp 'sport = :{}'`", port.number());
    assert!(sidecar.log().contains(&hint), "{}", sidecar.log());
    let (_, file) = house.leaf("shop.test");
    let flags = house.flags_and(&observe(&port));
    house.hotcert.run(["push".into(), file.into()].into_iter().chain(flags)).expect_code(0);
    drop(taken);
    let served = poll(DEADLINE, || (get(&port, "/healthz")?.status == 200).then_some(()));
    assert!(served.is_some(), "{}", sidecar.log());
}

#[test]
fn a_new_address_counts_after_a_reload_and_none_after_the_end() {
    let (house, port, other) = (house(), Port::reserve(), Port::reserve());
    let sidecar = Sidecar::start(&house.hotcert, house.flags_and(&observe(&port)));
    poll(DEADLINE, || get(&port, "/metrics")).unwrap();
    house.flags_and(&observe(&other));
    sidecar.signal(Signal::HUP);
    let moved = poll(DEADLINE, || get(&other, "/metrics"));
    assert!(moved.is_some() && get(&port, "/metrics").is_none(), "{}", sidecar.log());
    let (outcome, took) = sidecar.stop();
    outcome.expect_code(0);
    assert!(took < DEADLINE / 4 && get(&other, "/metrics").is_none(), "{took:?}");
}
