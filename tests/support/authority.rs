//! An ACME authority that does as it is told: it issues for a time of its own, counts what it is asked, and fails on demand.
//!
//! It validates nothing, and believes that a name is proved when it is told so. Real HTTPS, simulated time: its clock stands still
//! until a test moves it, and each answer tells it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{Chance, Pki, Scratch, http};

/// How a request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed at once.
    Down,
    /// A status with headers, and a problem document of a type and a text.
    Problem(u16, &'static str, &'static str, &'static str),
    /// A page for people.
    Html(u16),
    /// A redirect to itself.
    Redirect,
    /// Half of what was announced.
    HalfBody,
    /// Nothing, for as long as anybody waits.
    Hang,
}

/// What it would answer if it were good.
#[derive(Debug, Clone)]
pub struct Good<'a> {
    /// What was asked for.
    pub path: &'a str,
    /// Where it is: `https://127.0.0.1:port`.
    pub own: &'a str,
    /// The headers that every answer has, each with its line end.
    pub common: &'a str,
    /// Status, and headers with their line ends.
    pub head: String,
    pub body: String,
    /// It signs what is issued.
    pub pki: &'a Pki,
    /// The key of what is issued, once there is one.
    pub key: PublicKey,
}

/// What it says instead.
pub enum Sent {
    /// These bytes; then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, and the second ones until nobody listens any more.
    Endless(Vec<u8>, Vec<u8>),
}

type Spoil = Arc<dyn Fn(&Good<'_>) -> Sent + Send + Sync>;

impl Good<'_> {
    /// The answer with another status line and headers, and another body.
    pub fn with(&self, head: &str, body: impl AsRef<[u8]>) -> Sent {
        let length = body.as_ref().len();
        let mut bytes = format!("HTTP/1.1 {head}{}Content-Length: {length}\r\n\r\n", self.common).into_bytes();
        bytes.extend_from_slice(body.as_ref());
        Sent::Bytes(bytes)
    }

    /// The answer with another body.
    pub fn body(&self, body: impl AsRef<[u8]>) -> Sent {
        self.with(&self.head, body)
    }

    /// The answer with some of its members changed.
    pub fn edited(&self, edit: impl FnOnce(&mut Value)) -> Sent {
        let mut value = serde_json::from_str(&self.body).unwrap_or_default();
        edit(&mut value);
        self.body(value.to_string())
    }
}

/// What goes wrong by chance.
struct Mood {
    chance: Chance,
    refused: usize,
    busy: usize,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The authority's time.
    pub at: Timestamp,
    pub path: String,
    /// What the new certificate replaces, in a request for an order.
    pub replaces: Option<String>,
}

/// The authority; stopped on drop.
pub struct ScriptedAuthority {
    addr: SocketAddr,
    scratch: Scratch,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// It signs what is issued, and its own end point.
    pki: Pki,
    own: String,
    stop: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The authority's time; `None` for the machine's.
    now: Option<Timestamp>,
    lifetime: SignedDuration,
    faults: Vec<(&'static str, Fault)>,
    asked: Vec<Asked>,
    orders: Vec<Order>,
    /// Whether names have to be proved.
    is_strict: bool,
    proved: BTreeSet<String>,
    /// That of the last request for a certificate.
    key: Vec<u8>,
    spoil: Option<(String, Spoil)>,
    mood: Option<Mood>,
    windows: Option<Window>,
    replaced: BTreeSet<String>,
    all_replaced: bool,
}

#[derive(Debug)]
struct Order {
    names: Vec<Value>,
    replaces: Option<String>,
    chain: Option<String>,
}

/// From the present time to the answer about every certificate.
type Window = Box<dyn Fn(Timestamp) -> Value + Send>;

impl ScriptedAuthority {
    /// Starts one whose time stands still, and whose certificates are valid for so long.
    pub fn start(now: Option<Timestamp>, lifetime: SignedDuration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it has an address");
        let pki = Pki::new();
        let scratch = Scratch::new();
        scratch.write("root.pem", pki.root_pem());
        let leaf = pki.leaf("localhost").names(&["localhost", "127.0.0.1"]).issue();
        let chain = CertificateDer::pem_slice_iter(leaf.fullchain().as_bytes())
            .collect::<Result<_, _>>()
            .expect("a leaf is a certificate");
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).expect("a leaf has a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports them")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key is the leaf's");
        let state = State {
            now,
            lifetime,
            faults: Vec::new(),
            asked: Vec::new(),
            orders: Vec::new(),
            is_strict: false,
            proved: BTreeSet::new(),
            key: Vec::new(),
            spoil: None,
            mood: None,
            windows: None,
            replaced: BTreeSet::new(),
            all_replaced: false,
        };
        let shared = Arc::new(Shared {
            pki,
            own: format!("https://{addr}"),
            stop: AtomicBool::new(false),
            state: Mutex::new(state),
        });
        let (config, served) = (Arc::new(config), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (config, served) = (Arc::clone(&config), Arc::clone(&served));
                thread::spawn(move || served.serve(config, stream));
            }
        });
        Self { addr, scratch, shared, thread: Some(thread) }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.addr)
    }

    /// The root that signs everything.
    pub fn root_pem(&self) -> String {
        self.shared.pki.root_pem().to_owned()
    }

    /// A file with that root.
    pub fn root_ca(&self) -> std::path::PathBuf {
        self.scratch.join("root.pem")
    }

    /// Sets its clock.
    pub fn set_time(&self, now: Timestamp) {
        self.state(|state| state.now = Some(now));
    }

    /// Makes every request fail whose path begins like this, until [`ScriptedAuthority::mend`].
    pub fn fail(&self, path: &'static str, fault: Fault) {
        self.state(|state| state.faults.push((path, fault)));
    }

    /// Ends all failures.
    pub fn mend(&self) {
        self.state(|state| {
            state.faults.clear();
            state.spoil = None;
        });
    }

    /// Has every name proved before it issues. Connections are kept open from now on.
    pub fn be_strict(&self) {
        self.state(|state| state.is_strict = true);
    }

    /// Answers otherwise to this path, or to all below it where it ends in a slash, until [`ScriptedAuthority::mend`].
    pub fn spoil(&self, path: &str, spoil: impl Fn(&Good<'_>) -> Sent + Send + Sync + 'static) {
        self.state(|state| state.spoil = Some((path.to_owned(), Arc::new(spoil))));
    }

    /// Refuses half of all nonces, and is busy for one request in ten: with and without saying for how long.
    pub fn be_moody(&self, chance: Chance) {
        self.state(|state| state.mood = Some(Mood { chance, refused: 0, busy: 0 }));
    }

    /// How many nonces it refused, and how often it was busy.
    pub fn moods(&self) -> (usize, usize) {
        self.state(|state| state.mood.as_ref().map_or((0, 0), |mood| (mood.refused, mood.busy)))
    }

    /// How many orders were made for a name.
    pub fn orders_for(&self, name: &str) -> usize {
        let is_for = |order: &&Order| order.names.iter().any(|named| named["value"] == name);
        self.state(|state| state.orders.iter().filter(is_for).count())
    }

    /// How many orders were made.
    pub fn orders(&self) -> usize {
        self.state(|state| state.orders.len())
    }

    /// Offers renewal information; `window` makes the answer from the present time.
    pub fn offer_renewal_info(&self, window: impl Fn(Timestamp) -> Value + Send + 'static) {
        self.state(|state| state.windows = Some(Box::new(window)));
    }

    /// Takes every certificate for one that was replaced before.
    pub fn consider_all_replaced(&self) {
        self.state(|state| state.all_replaced = true);
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.state(|state| state.asked.clone())
    }

    /// What was asked of paths that begin like this.
    pub fn asked_for(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.starts_with(path)).collect()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.state(|state| state.asked.clear());
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().expect("no request panics"))
    }
}

impl Drop for ScriptedAuthority {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // It looks at the word only when somebody comes.
        let _ = http::listens(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Answers one request, or those of one connection.
    fn serve(&self, config: Arc<ServerConfig>, stream: TcpStream) {
        let Ok(session) = ServerConnection::new(config) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(40)));
        let _ = stream.set_nodelay(true);
        let mut stream = StreamOwned::new(session, stream);
        while let Some((path, body)) = read_request(&mut stream) {
            if !self.answer(&mut stream, &path, &body) {
                break;
            }
        }
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }

    /// Answers a request; whether another one may follow.
    fn answer(&self, stream: &mut StreamOwned<ServerConnection, TcpStream>, path: &str, body: &[u8]) -> bool {
        let payload = payload(body);
        let (fault, now, spoil, is_strict) = {
            let mut state = self.state.lock().expect("no request panics");
            let now = state.now();
            let replaces = payload["replaces"].as_str().map(str::to_owned);
            state.asked.push(Asked { at: now, path: path.to_owned(), replaces });
            let fault = state.faults.iter().find(|(begin, _)| path.starts_with(begin)).map(|(_, fault)| fault.clone());
            let fault = fault.or_else(|| state.mood.as_mut()?.fault(!body.is_empty()));
            let is_spoilt = |(of, _): &&(String, Spoil)| path == of || (of.ends_with('/') && path.starts_with(of));
            let spoil = state.spoil.as_ref().filter(is_spoilt).map(|(_, spoil)| Arc::clone(spoil));
            (fault, now, spoil, state.is_strict)
        };
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let is_kept = is_strict && spoil.is_none();
        let connection = if is_kept { "" } else { "Connection: close\r\n" };
        let common = format!("Date: {date}\r\nReplay-Nonce: n\r\n{connection}");
        let json = "Content-Type: application/json\r\n";
        let problem = "Content-Type: application/problem+json\r\n";
        let (head, body, length) = match fault {
            Some(Fault::Down) => return false,
            Some(Fault::Hang) => {
                // Until the client goes away.
                let _ = stream.sock.set_read_timeout(None);
                let _ = stream.read(&mut [0]);
                return false;
            }
            Some(Fault::Problem(status, headers, kind, detail)) => {
                let body =
                    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }).to_string();
                (format!("{status} X\r\n{problem}{headers}"), body, None)
            }
            Some(Fault::Html(status)) => {
                (format!("{status} X\r\nContent-Type: text/html\r\n"), "<h1>Log in</h1>".to_owned(), None)
            }
            Some(Fault::Redirect) => (format!("302 X\r\nLocation: {}{path}\r\n", self.own), String::new(), None),
            Some(Fault::HalfBody) => (format!("200 X\r\n{json}"), "{\"newNonce\":".to_owned(), Some(500)),
            None => {
                let (head, body) = self.state.lock().expect("no request panics").answer(path, &payload, self);
                (head, body, None)
            }
        };
        if let Some(spoil) = spoil {
            let key = PublicKey(self.state.lock().expect("no request panics").key.clone());
            let good = Good { path, own: &self.own, common: &common, head, body, pki: &self.pki, key };
            let (first, rest) = match spoil(&good) {
                Sent::Bytes(bytes) => (bytes, None),
                Sent::Endless(bytes, rest) => (bytes, Some(rest)),
            };
            let mut is_heard = stream.write_all(&first).is_ok();
            while let Some(rest) = rest.as_ref().filter(|_| is_heard) {
                is_heard = stream.write_all(rest).is_ok();
            }
            return false;
        }
        let length = length.unwrap_or(body.len());
        // The answer to HEAD has no body.
        let body = if path == "/nonce" && is_kept { "" } else { &body };
        let length = if path == "/nonce" && is_kept { 0 } else { length };
        let answer = format!("HTTP/1.1 {head}{common}Content-Length: {length}\r\n\r\n{body}");
        is_kept & stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_ok()
    }
}

impl Mood {
    /// What is answered to the next request, if it is not what was asked for.
    fn fault(&mut self, is_signed: bool) -> Option<Fault> {
        if self.chance.one_in(10) {
            self.busy += 1;
            let wait = self.chance.pick(&["", "Retry-After: 0\r\n", "Retry-After: 1\r\n"]);
            return Some(Fault::Problem(503, wait, "rateLimited", "Service busy; retry later."));
        }
        if is_signed && self.chance.one_in(2) {
            self.refused += 1;
            return Some(Fault::Problem(400, "", "badNonce", "try again"));
        }
        None
    }
}

impl State {
    fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }

    /// Status line with headers, and body.
    fn answer(&mut self, path: &str, payload: &Value, shared: &Shared) -> (String, String) {
        let own = &shared.own;
        let json = |status: u16, headers: String, body: &Value| {
            (format!("{status} X\r\nContent-Type: application/json\r\n{headers}"), body.to_string())
        };
        let number = || path.rsplit('/').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let not_found = || {
            let body = json!({ "type": "urn:ietf:params:acme:error:malformed", "detail": "there is no such thing" });
            ("404 X\r\nContent-Type: application/problem+json\r\n".to_owned(), body.to_string())
        };
        match path {
            _ if path == "/dir" || path.starts_with("/dir/") => {
                let mut directory = json!({
                    "newNonce": format!("{own}/nonce"),
                    "newAccount": format!("{own}/account"),
                    "newOrder": format!("{own}/order"),
                    "revokeCert": format!("{own}/revoke"),
                    "keyChange": format!("{own}/key"),
                });
                if self.windows.is_some() {
                    directory["renewalInfo"] = json!(format!("{own}/ari"));
                }
                json(200, String::new(), &directory)
            }
            "/nonce" => json(200, String::new(), &json!({})),
            "/account" => json(201, format!("Location: {own}/account/1\r\n"), &json!({ "status": "valid" })),
            "/account/1" => json(200, String::new(), &json!({ "status": "valid" })),
            "/order" => {
                let replaces = payload["replaces"].as_str().map(str::to_owned);
                if replaces.as_ref().is_some_and(|id| self.all_replaced || !self.replaced.insert(id.clone())) {
                    let body = json!({ "type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "it was" });
                    return ("409 X\r\nContent-Type: application/problem+json\r\n".to_owned(), body.to_string());
                }
                let names = payload["identifiers"].as_array().cloned().unwrap_or_default();
                self.orders.push(Order { names, replaces, chain: None });
                let number = self.orders.len() - 1;
                // Whoever has proved the names need not wait.
                let headers = format!("Location: {own}/order/{number}\r\nRetry-After: 0\r\n");
                json(201, headers, &self.order(number, own))
            }
            _ if path.starts_with("/order/") && number() < self.orders.len() => {
                json(200, String::new(), &self.order(number(), own))
            }
            _ if path.starts_with("/authz/") => json(200, String::new(), &self.authorization(path, own)),
            _ if path.starts_with("/chall/") => {
                self.proved.insert(path.replacen("/chall/", "/authz/", 1));
                let authorization = self.authorization(path, own);
                json(200, String::new(), &authorization["challenges"][0])
            }
            _ if path.starts_with("/finalize/") => {
                let number = number();
                let csr =
                    BASE64_URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap_or_default()).unwrap_or_default();
                let (chain, key) = self.issue(&csr, &shared.pki);
                (self.orders[number].chain, self.key) = (Some(chain), key.0);
                json(200, String::new(), &self.order(number, own))
            }
            _ if path.starts_with("/cert/") => {
                let chain = self.orders.get(number()).and_then(|order| order.chain.clone()).unwrap_or_default();
                ("200 X\r\nContent-Type: application/pem-certificate-chain\r\n".to_owned(), chain)
            }
            _ if path.starts_with("/ari/") => match &self.windows {
                Some(window) => json(200, String::new(), &window(self.now())),
                None => ("404 X\r\n".to_owned(), String::new()),
            },
            _ => not_found(),
        }
    }

    /// By its number and that of the name in it: `/authz/ORDER/NAME`.
    fn authorization(&self, path: &str, own: &str) -> Value {
        let numbers: Vec<usize> = path.split('/').filter_map(|part| part.parse().ok()).collect();
        let name = &self.orders[numbers[0]].names[numbers[1]];
        let place = format!("{}/{}", numbers[0], numbers[1]);
        let status = if self.proved.contains(&format!("/authz/{place}")) { "valid" } else { "pending" };
        let token = format!("token-{}-{}", numbers[0], numbers[1]);
        let url = format!("{own}/chall/{place}");
        let challenge = json!({ "type": "http-01", "token": token, "url": url, "status": status });
        json!({ "status": status, "identifier": name, "challenges": [challenge] })
    }

    fn order(&self, number: usize, own: &str) -> Value {
        let order = &self.orders[number];
        let places = (0..order.names.len()).filter(|_| self.is_strict).map(|name| format!("/authz/{number}/{name}"));
        let places: Vec<String> = places.collect();
        let status = match order.chain {
            Some(_) => "valid",
            None if places.iter().all(|place| self.proved.contains(place)) => "ready",
            None => "pending",
        };
        let mut object = json!({
            "status": status,
            "identifiers": order.names,
            "authorizations": places.iter().map(|place| format!("{own}{place}")).collect::<Vec<_>>(),
            "finalize": format!("{own}/finalize/{number}"),
        });
        if order.chain.is_some() {
            object["certificate"] = json!(format!("{own}/cert/{number}"));
        }
        if let Some(replaces) = &order.replaces {
            object["replaces"] = json!(replaces);
        }
        object
    }

    /// A certificate for a request, from now on.
    fn issue(&self, csr: &[u8], pki: &Pki) -> (String, PublicKey) {
        let (_, csr) = X509CertificationRequest::from_der(csr).expect("the request can be read");
        let names: BTreeSet<String> = csr
            .requested_extensions()
            .into_iter()
            .flatten()
            .filter_map(|extension| match extension {
                x509_parser::extensions::ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let key = PublicKey(csr.certification_request_info.subject_pki.subject_public_key.data.to_vec());
        let leaf = pki.leaf(names[0]).names(&names).not_before(self.now()).not_after(self.now() + self.lifetime);
        (leaf.issue_for(&key), key)
    }
}

/// The key of a request, which is of P-256.
#[derive(Debug, Clone)]
pub struct PublicKey(Vec<u8>);

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn read_request(stream: &mut impl std::io::Read) -> Option<(String, Vec<u8>)> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected = head.to_lowercase();
        let expected = expected.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        if body.len() >= expected.map_or(0, |length| length.trim().parse().unwrap_or(0)) {
            return Some((head.split(' ').nth(1)?.to_owned(), body.as_bytes().to_vec()));
        }
    }
}

/// What a signed request says; its signature is believed.
fn payload(body: &[u8]) -> Value {
    let payload = serde_json::from_slice::<Value>(body).ok().and_then(|jws| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(jws["payload"].as_str()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    });
    payload.unwrap_or_default()
}
