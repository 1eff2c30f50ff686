//! An authority that misbehaves in ways in which Pebble cannot: broken, slow, overloaded, hostile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::Pki;
use hotcert::acme::{Account, AccountKey, Deadlines, Error, Http, Order, Proof, Status};
use hotcert::bundle::PrivateKey;
use hotcert::model::{ChallengeKind, DirectoryUrl, Identifier, KeyType};
use hotcert::schedule::Retry;
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(1), request: Duration::from_millis(500) };

/// The choice of whoever answers http-01 alone.
fn http01(_: &Identifier, offered: &[ChallengeKind]) -> Option<ChallengeKind> {
    offered.contains(&ChallengeKind::Http01).then_some(ChallengeKind::Http01)
}

/// What the authority answers to one request.
enum Reply {
    /// An answer: status line and headers, body.
    Says(String, String),
    /// One byte every tenth of a second.
    Drips,
    /// Nothing.
    Hangs,
}

/// A reply with a JSON body.
fn json(status: u16, headers: &str, body: &str) -> Reply {
    let kind = if status < 400 { "application/json" } else { "application/problem+json" };
    Reply::Says(format!("{status} X\r\nContent-Type: {kind}\r\n{headers}"), body.to_owned())
}

fn problem(status: u16, headers: &str, kind: &str, detail: &str) -> Reply {
    let body = serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
    json(status, headers, &body.to_string())
}

/// An authority that does as its script says, which sees the path and the authority's URL, and as usual where that says nothing.
struct Authority {
    url: String,
    root: String,
    task: tokio::task::JoinHandle<()>,
}

impl Authority {
    async fn start(script: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let pki = Pki::new();
        let leaf = pki.leaf("localhost").names(&["localhost", "127.0.0.1"]).issue();
        let chain = CertificateDer::pem_slice_iter(leaf.fullchain().as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (own, script) = (url.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                let (acceptor, script, own) = (acceptor.clone(), Arc::clone(&script), own.clone());
                tokio::spawn(async move { serve(acceptor, stream, |path| script(path, &own), &own).await });
            }
        });
        Self { url, root: pki.root_pem().to_owned(), task }
    }

    fn directory(&self) -> DirectoryUrl {
        format!("{}/dir", self.url).parse().unwrap()
    }

    async fn account(&self) -> Result<Account, Error> {
        let http = Http::new(Some(&self.root), DEADLINES)?;
        Account::register(&http, &self.directory(), &AccountKey::generate()?, &[], true, None).await
    }

    async fn order(&self) -> Result<Order, Error> {
        self.account().await?.new_order(&name(), None, None).await
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn name() -> [Identifier; 1] {
    ["a.test".parse().unwrap()]
}

/// Answers one request on each connection.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream, script: impl Fn(&str) -> Option<Reply>, own: &str) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = Vec::new();
    let head = loop {
        let mut part = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut part).await else { return };
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let expected = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().trim().parse::<usize>().unwrap());
            if body.len() >= expected {
                break head.to_owned();
            }
        }
    };
    let path = head.split(' ').nth(1).unwrap();
    let (head, body) = match script(path).unwrap_or_else(|| usual(path, own)) {
        Reply::Says(head, body) => (head, body),
        Reply::Hangs => std::future::pending().await,
        Reply::Drips => {
            while stream.write_all(b"H").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return;
        }
    };
    let head = format!("HTTP/1.1 {head}Replay-Nonce: n\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// What a good authority answers.
fn usual(path: &str, own: &str) -> Reply {
    match path {
        "/dir" => json(200, "", &serde_json::json!({
            "newNonce": format!("{own}/nonce"), "newAccount": format!("{own}/account"), "newOrder": format!("{own}/order"),
        }).to_string()),
        "/nonce" => json(200, "", ""),
        "/account" => json(201, &format!("Location: {own}/account/1\r\n"), r#"{"status":"valid"}"#),
        "/order" => json(201, &format!("Location: {own}/order/1\r\n"), &order(own, "pending", "")),
        "/order/1" => json(200, "", &order(own, "pending", "")),
        "/authz" => authorization("http-01", "tok", own),
        other => panic!("{other}"),
    }
}

fn order(own: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"status":"{status}","identifiers":[{{"type":"dns","value":"a.test"}}],"authorizations":["{own}/authz"],
        "finalize":"{own}/finalize"{more}}}"#
    )
}

fn authorization(kind: &str, token: &str, own: &str) -> Reply {
    let challenge =
        serde_json::json!({ "type": kind, "token": token, "url": format!("{own}/chall"), "status": "pending" });
    let identifier = serde_json::json!({ "type": "dns", "value": "a.test" });
    let body = serde_json::json!({ "status": "pending", "identifier": identifier, "challenges": [challenge] });
    json(200, "", &body.to_string())
}

/// The error of registering and ordering where the script decides.
async fn fails(script: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static) -> Error {
    let authority = Authority::start(script).await;
    authority.order().await.unwrap_err()
}

/// A script for one path.
fn at(path: &'static str, reply: fn() -> Reply) -> impl Fn(&str, &str) -> Option<Reply> {
    move |asked, _| (asked == path).then(reply)
}

#[tokio::test]
async fn the_script_itself_works() {
    let authority = Authority::start(|_, _| None).await;
    let mut order = authority.order().await.unwrap();
    let challenges = order.challenges(http01).await.unwrap();
    assert!(matches!(&challenges[0].proof, Proof::Token { token, .. } if token.as_str() == "tok"));
    assert_eq!(challenges[0].identifier, name()[0]);
}

#[tokio::test]
async fn a_page_for_people_is_no_authority_wherever_it_comes() {
    for path in ["/dir", "/nonce", "/account", "/order"] {
        let page = || Reply::Says("200 OK\r\nContent-Type: text/html\r\n".to_owned(), "<h1>Log in</h1>".to_owned());
        let error = fails(at(path, page)).await;
        assert!(
            matches!(&error, Error::NotAcme { status: 200, content_type, .. } if content_type == "text/html"),
            "{path}: {error:?}"
        );
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn an_overloaded_authority_says_when_to_ask_again() {
    for path in ["/dir", "/account", "/order"] {
        let down =
            || Reply::Says("503 X\r\nContent-Type: text/html\r\nRetry-After: 120\r\n".to_owned(), "busy".to_owned());
        let error = fails(at(path, down)).await;
        assert!(matches!(error, Error::Unavailable { status: 503, .. }), "{path}: {error:?}");
        let Retry::NotBefore(instant) = error.retry() else { panic!("{error:?}") };
        assert!((110..=120).contains(&instant.duration_since(Timestamp::now()).as_secs()));
    }
}

#[tokio::test]
async fn a_rate_limit_is_told_with_its_end_and_without_control_characters() {
    let limited = || problem(429, "Retry-After: 3600\r\n", "rateLimited", "too \u{1b}[31mmany\r\ncertificates");
    let error = fails(at("/order", limited)).await;
    assert_eq!(error.to_string(), "the authority's rate limit is reached: too [31mmany  certificates (rateLimited)");
    assert!(matches!(error.retry(), Retry::NotBefore(_)));
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let refused = |kind: &'static str| fails(move |path, _| (path == "/order").then(|| problem(403, "", kind, "no")));
    let error = refused("rejectedIdentifier").await;
    assert!(matches!(&error, Error::Refused(problem) if problem.kind == "rejectedIdentifier"));
    assert_eq!(error.retry(), Retry::Never);
    assert!(matches!(refused("accountDoesNotExist").await, Error::AccountGone { .. }));
    assert!(matches!(refused("externalAccountRequired").await, Error::ExternalAccountRequired));
    assert_eq!(refused("userActionRequired").await.retry(), Retry::Never);
    assert_eq!(refused("connection").await.retry(), Retry::Backoff);
    assert!(matches!(refused("badNonce").await, Error::BadNonce { attempts: 2.. }));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = fails(at("/dir", || json(301, "Location: https://evil.test/\r\n", ""))).await;
    assert!(matches!(&error, Error::Redirected { location, .. } if location == "https://evil.test/"), "{error:?}");
}

#[tokio::test]
async fn an_authority_that_hangs_or_drips_is_given_up_in_time() {
    for reply in [|| Reply::Hangs, || Reply::Drips] {
        let begun = Instant::now();
        let error = fails(at("/order", reply)).await;
        assert!(matches!(error, Error::Slow { .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let error = fails(at("/dir", || json(200, "", &" ".repeat(10_000_000)))).await;
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn nothing_is_asked_by_plain_http() {
    let error = fails(|path, own| {
        let body = format!(
            r#"{{"newNonce":"{0}/nonce","newAccount":"{0}/account","newOrder":"{0}/order"}}"#,
            own.replace("https", "http")
        );
        (path == "/dir").then(|| json(200, "", &body))
    });
    assert!(matches!(error.await, Error::NotHttps { .. }));
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_told() {
    for path in ["/dir", "/order"] {
        let error = fails(at(path, || json(200, "Location: /x\r\n", r#"{"hello":1}"#))).await;
        assert!(matches!(error, Error::Incomplete { .. }), "{path}: {error:?}");
    }
}

#[tokio::test]
async fn a_dangerous_token_is_not_answered() {
    for token in ["../../etc/passwd", "a;show info", "", "a\nb", "%2e%2e"] {
        let authority =
            Authority::start(move |path, own| (path == "/authz").then(|| authorization("http-01", token, own)));
        let authority = authority.await;
        let error = authority.order().await.unwrap().challenges(http01).await.unwrap_err();
        assert!(matches!(error, Error::BadToken { .. }), "{token:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_challenge_that_nobody_knows_is_passed_over() {
    let authority =
        Authority::start(|path, own| (path == "/authz").then(|| authorization("carrier-pigeon-01", "tok", own))).await;
    let error = authority.order().await.unwrap().challenges(http01).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the authority offers no challenge for a.test that a solver answers; it offers carrier-pigeon-01"
    );
}

#[tokio::test]
async fn an_order_that_does_not_get_on_can_be_resumed_later() {
    let authority = Authority::start(|path, own| {
        (path == "/order/1").then(|| json(200, "Retry-After: 600\r\n", &order(own, "pending", "")))
    });
    let authority = authority.await;
    let begun = Instant::now();
    let error = authority.order().await.unwrap().await_ready(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, Error::OrderSlow { status: Status::Pending, .. }), "{error:?}");
    assert!(matches!(error.retry(), Retry::NotBefore(_)));
    assert!(begun.elapsed() < Duration::from_secs(2), "it does not wait for what cannot come in time");
}

#[tokio::test]
async fn a_failed_order_tells_the_reason() {
    let authority = Authority::start(|path, own| {
        let failed = r#","error":{"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids it"}"#;
        match path {
            "/order" => Some(json(201, &format!("Location: {own}/order/1\r\n"), &order(own, "ready", ""))),
            "/finalize" => Some(json(200, "", &order(own, "processing", ""))),
            "/order/1" => Some(json(200, "", &order(own, "invalid", failed))),
            _ => None,
        }
    });
    let authority = authority.await;
    let mut failing = authority.order().await.unwrap();
    failing.finalize(&PrivateKey::generate(KeyType::EcdsaP256).unwrap()).await.unwrap();
    assert_eq!(failing.status(), Status::Processing);
    let error = failing.certificate(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(&error, Error::OrderInvalid { reason, .. } if reason == "CAA forbids it (caa)"), "{error:?}");
}
