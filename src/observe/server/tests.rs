use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::observe::{Pulse, Snapshot};

/// A server on a port of its own, and what ends it.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
    /// Without it there would be no news.
    _pulse: watch::Sender<Pulse>,
}

async fn running(insecure: bool) -> Running {
    let pulse = watch::Sender::new(Pulse::now(None));
    let snapshot = Snapshot::empty("2026-11-22T12:00:00Z".parse().unwrap());
    let feed = Feed { snapshots: watch::Sender::new(Arc::new(snapshot)).subscribe(), pulse: pulse.subscribe() };
    let stop = CancellationToken::new();
    let observe = Observe { listen: "127.0.0.1:0".parse().unwrap(), insecure };
    let server = Server::bind(observe, feed, stop.clone()).await.unwrap();
    Running { address: server.local_addr().unwrap(), stop, ended: tokio::spawn(server.run()), _pulse: pulse }
}

impl Running {
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, host: &str, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }
}

#[tokio::test]
async fn only_what_is_there_is_answered_and_only_to_get() {
    let server = running(false).await;
    let alive = server.get("127.0.0.1:9464", "/healthz").await;
    assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("\r\n\r\nok\n"), "{alive}");
    assert!(server.get("localhost", "/healthz/").await.starts_with("HTTP/1.1 404 "));
    assert!(server.get("localhost", "/../etc/passwd").await.starts_with("HTTP/1.1 404 "));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let refused = server.ask(&format!("{method} /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n")).await;
        assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"), "{refused}");
    }
    let head = server.ask("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn an_answer_can_be_neither_stored_embedded_nor_run() {
    let server = running(false).await;
    for path in ["/healthz", "/nowhere"] {
        let answer = server.get("127.0.0.1", path).await;
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "cross-origin-resource-policy: same-origin",
            "connection: close",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
}

#[tokio::test]
async fn a_name_of_a_stranger_that_leads_here_is_refused() {
    let server = running(false).await;
    for host in ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:9464", "a@localhost.test", "", "x y"] {
        let answer = server.get(host, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host:?}: {answer}");
    }
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
        "GET http://evil.test/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
    ] {
        let answer = server.ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{request}: {answer}");
    }
    for host in ["LOCALHOST:9464", "[::1]:9464", "10.1.2.3"] {
        assert!(server.get(host, "/healthz").await.starts_with("HTTP/1.1 200 "), "{host}");
    }
    let open = running(true).await;
    assert!(open.get("edge.internal:9464", "/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_used_port_is_told_with_its_address_and_a_cure() {
    let server = running(false).await;
    let observe = Observe { listen: server.address, insecure: false };
    let feed = Feed {
        snapshots: watch::Sender::new(Arc::new(Snapshot::empty("2026-11-22T12:00:00Z".parse().unwrap()))).subscribe(),
        pulse: watch::Sender::new(Pulse::now(None)).subscribe(),
    };
    let error = Server::bind(observe, feed, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("metrics cannot be served at {}", server.address));
    assert!(error.hint().unwrap().contains("ss -ltnp"), "{error:?}");
}

#[tokio::test]
async fn silent_and_endless_clients_do_not_lock_others_out() {
    let server = running(false).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let answer = timeout(HEADER_DEADLINE * 2, server.get("localhost", "/healthz")).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let endless = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(2 * HEAD));
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn it_ends_when_it_is_told_and_frees_its_port() {
    let Running { address, stop, ended, .. } = running(false).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    stop.cancel();
    timeout(STOP_DEADLINE * 4, ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
