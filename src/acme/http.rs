//! HTTPS to one authority: bounded in time and size, and every failure typed.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Error;
use super::problem::{Problem, sanitised};

/// Largest answer that is read, in bytes; orders of a hundred names and certificate chains stay far below.
const BODY_LIMIT: usize = 1024 * 1024;

/// Longest `Retry-After` that is believed: the longest real limits refill within a week.
const RETRY_AFTER_LIMIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often a request is repeated whose nonce was refused (RFC 8555, section 6.5). Pebble refuses one in twenty by default,
/// and one in two in our tests.
const NONCE_ATTEMPTS: u32 = 16;

/// How often a request is made to an authority that is busy, and how long the first pause is; each is twice as long as the one
/// before. Load balancers have a hiccup of a second; who is busy for longer is asked again by the next attempt.
const BUSY_ATTEMPTS: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// The longest `Retry-After` that is waited for in the middle of an order. What is longer is for the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longest URL that is followed and journalled, in bytes.
const URL_LIMIT: usize = 2048;

/// How long an authority may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For a TCP connection to one address.
    pub connect: Duration,
    /// For one request as a whole: name resolution, connection, TLS, answer.
    pub request: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_secs(30) }
    }
}

/// The connection to one authority; clones share it.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    deadlines: Deadlines,
    /// The time of the last answer that told it, and when that came.
    told: Arc<Mutex<Option<(Timestamp, Instant)>>>,
}

impl Http {
    /// Trusts the system's roots and, in addition, the certificates in `root_ca`: the text of a PEM file with one or more.
    pub fn new(root_ca: Option<&str>, deadlines: Deadlines) -> Result<Self, Error> {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default protocol versions")
            .with_root_certificates(roots(root_ca)?)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(deadlines.connect));
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
        Ok(Self { client, deadlines, told: Arc::default() })
    }

    /// What time it is by the authority's clock (`Date` of its last answer, RFC 9110, section 6.6.1), good to some seconds;
    /// `None` when it has not said.
    #[must_use]
    pub fn authority_time(&self) -> Option<Timestamp> {
        let (date, came) = (*self.told.lock().unwrap_or_else(PoisonError::into_inner))?;
        date.checked_add(came.elapsed()).ok()
    }

    /// Sends a request. Any answer but a success is an error.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Error> {
        let url = request.uri().clone();
        if url.scheme_str() != Some("https") {
            return Err(Error::NotHttps { url: sanitised(&url.to_string()) });
        }
        let agent = HeaderValue::from_static(concat!("hotcert/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let exchange = async {
            let (parts, body) = self.client.request(request).await.map_err(|error| broken(&url, error))?.into_parts();
            match Limited::new(body, BODY_LIMIT).collect().await {
                Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(Error::TooLarge { host: host(&url), limit: BODY_LIMIT })
                }
                Err(source) => Err(Error::Unreachable { host: host(&url), source }),
            }
        };
        match tokio::time::timeout(self.deadlines.request, exchange).await {
            Ok(answer) => {
                let answer = answer?;
                if let Some(date) = date(answer.headers()) {
                    *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, Instant::now()));
                }
                checked(&url, answer)
            }
            Err(_) => Err(Error::Slow { host: host(&url), after: self.deadlines.request }),
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let mut answer = http
                .send(Request::from_parts(parts, Full::new(body)))
                .await
                .map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            // Outside of `call` nobody wants to know.
            let _ = LAST.try_with(|last| last.replace(Some(answer.clone())));
            // We read it ourselves, and the library cannot: a number that is too large makes it panic.
            answer.headers_mut().remove(RETRY_AFTER);
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

tokio::task_local! {
    /// The last answer within a [`call`]: instant-acme drops headers and fields that we need.
    static LAST: RefCell<Option<Response<Bytes>>>;
}

/// A call of instant-acme: its value with the last answer that led to it, or our error.
pub(super) async fn call<T>(
    call: impl Future<Output = Result<T, instant_acme::Error>>,
) -> Result<(T, Option<Response<Bytes>>), Error> {
    let (result, answer) = tapped(call).await;
    result.map(|value| (value, answer))
}

/// A call of instant-acme, with the last answer however it ended.
pub(super) async fn tapped<T>(
    call: impl Future<Output = Result<T, instant_acme::Error>>,
) -> (Result<T, Error>, Option<Response<Bytes>>) {
    let tapped = async {
        let result = call.await;
        (result, LAST.with(RefCell::take))
    };
    let (result, answer) = LAST.scope(RefCell::default(), tapped).await;
    (result.map_err(Error::from_library), answer)
}

/// Evaluates a future anew while nothing was done: its nonce was refused, or the authority is busy. (A function would take an
/// async closure, whose futures rustc cannot prove to be `Send` yet.)
macro_rules! again {
    ($attempt:expr) => {{
        let mut patience = $crate::acme::http::Patience::default();
        loop {
            let outcome = $attempt.await;
            match outcome.as_ref().err().and_then(|error| patience.pause(error)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break outcome,
            }
        }
    }};
}
pub(super) use again;

/// How often one request was made in vain.
#[derive(Default)]
pub(super) struct Patience {
    nonces: u32,
    busy: u32,
}

impl Patience {
    /// For how long to wait before the request is made again; `None` when it is not.
    pub(super) fn pause(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::BadNonce { .. } => {
                self.nonces += 1;
                (self.nonces < NONCE_ATTEMPTS).then_some(Duration::ZERO)
            }
            // By 503 a server says that it did not do it (RFC 9110, section 15.6.4); after others it may have.
            Error::Unavailable { status: 503, wait, .. } => {
                self.busy += 1;
                let pause = wait.unwrap_or(BUSY_PAUSE * 2_u32.pow(self.busy - 1));
                (self.busy < BUSY_ATTEMPTS && pause <= LONGEST_PAUSE).then_some(pause)
            }
            _ => None,
        }
    }
}

/// Whether a URL that an authority names may be followed: absolute, `https` (RFC 8555, section 6.1), and no longer than any.
pub(super) fn is_usable(url: &str) -> bool {
    let has_host = |url: Uri| url.authority().is_some_and(|authority| !authority.host().is_empty());
    url.len() <= URL_LIMIT && url.parse::<Uri>().is_ok_and(|url| url.scheme_str() == Some("https") && has_host(url))
}

/// When the server says it is.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()
}

/// What time it is by the clock of whoever sent an answer: seconds to wait count from there.
pub(super) fn sent_at(headers: &HeaderMap) -> Timestamp {
    date(headers).unwrap_or_else(Timestamp::now)
}

/// When the server wants to be asked again (RFC 9110, section 10.2.3: seconds or a date).
pub(super) fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let latest = now.checked_add(RETRY_AFTER_LIMIT).ok()?;
    let instant = match value.parse::<u64>() {
        Ok(seconds) => {
            i64::try_from(seconds).ok().and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok())
        }
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => None,
        Err(_) => Some(jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?),
    };
    // A number too large for a date is a long wait, not none.
    Some(instant.unwrap_or(latest).min(latest))
}

/// The targets of `Link: <…>;rel="…"` (RFC 8288), in order.
pub(super) fn links(headers: &HeaderMap, relation: &str) -> Vec<String> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let target = |link: &str| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_it = |parameter: &str| {
            parameter.trim().strip_prefix("rel=").is_some_and(|value| value.trim_matches('"') == relation)
        };
        parameters.split(';').any(is_it).then(|| target.to_owned())
    };
    values.flat_map(|value| value.split(',')).filter_map(target).collect()
}

/// The system's roots, and those in the text of a PEM file.
pub fn roots(root_ca: Option<&str>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = root_ca {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| Error::RootCa(error.into()))?;
            roots.add(certificate).map_err(|error| Error::RootCa(error.into()))?;
        }
        if roots.len() == before {
            return Err(Error::RootCa("it contains no certificate".into()));
        }
    }
    if roots.is_empty() { Err(Error::NoRoots) } else { Ok(roots) }
}

fn host(url: &Uri) -> String {
    sanitised(url.authority().map_or("the authority", http::uri::Authority::as_str))
}

fn broken(url: &Uri, error: hyper_util::client::legacy::Error) -> Error {
    match certificate_error(&error) {
        Some(reason) => Error::Untrusted { host: host(url), reason },
        None => Error::Unreachable { host: host(url), source: error.into() },
    }
}

/// Digs for rustls' verdict on a certificate. An [`io::Error`] leaves out of its sources what it wraps, so it is asked directly.
fn certificate_error(error: &(dyn StdError + 'static)) -> Option<rustls::CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(reason.clone());
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn checked(url: &Uri, answer: Response<Bytes>) -> Result<Response<Bytes>, Error> {
    let status = answer.status();
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map_or_else(|| "no content type".to_owned(), sanitised);
    let not_acme = || Error::NotAcme { host: host(url), status: status.as_u16(), content_type: content_type.clone() };
    if status.is_success() {
        // RFC 8555 objects are JSON and certificates PEM: a page for people comes from somebody else.
        return if content_type.starts_with("text/html") { Err(not_acme()) } else { Ok(answer) };
    }
    if status.is_redirection() {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        return Err(Error::Redirected { url: sanitised(&url.to_string()), location: sanitised(location) });
    }
    let sent_at = sent_at(answer.headers());
    let retry_at = retry_at(answer.headers(), sent_at);
    let wait = retry_at.map(|instant| Duration::try_from(instant.duration_since(sent_at)).unwrap_or_default());
    let unavailable = |detail| Error::Unavailable { host: host(url), status: status.as_u16(), detail, retry_at, wait };
    let problem = Problem::read(answer.body());
    let said = || problem.as_ref().map_or_else(|| content_type.clone(), ToString::to_string);
    match problem.as_ref().map(|problem| problem.kind.as_str()) {
        Some("badNonce") => Err(Error::BadNonce { attempts: NONCE_ATTEMPTS }),
        // Let's Encrypt says so when it is overloaded: that is no limit of ours.
        Some("rateLimited") if status == StatusCode::SERVICE_UNAVAILABLE => Err(unavailable(said())),
        // The link is all that tells a pause from other limits.
        Some("rateLimited") if said().contains("/unpause") => Err(Error::Paused { detail: said() }),
        Some("rateLimited") => Err(Error::RateLimited { detail: said(), retry_at }),
        _ if status == StatusCode::TOO_MANY_REQUESTS => Err(Error::RateLimited { detail: said(), retry_at }),
        _ if status.is_server_error() => Err(unavailable(said())),
        Some("accountDoesNotExist") => Err(Error::AccountGone { detail: said() }),
        Some("externalAccountRequired") => Err(Error::ExternalAccountRequired),
        // RFC 9773, section 5; some authorities say it by the status alone.
        Some("alreadyReplaced") => Err(Error::ReplacesRefused { detail: said() }),
        Some(_) if status == StatusCode::CONFLICT => Err(Error::ReplacesRefused { detail: said() }),
        _ => Err(problem.map_or_else(not_acme, |problem| Error::Refused(Box::new(problem)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |value| retry_at(&headers(value), now).map(|instant| instant.to_string());
        assert_eq!(at("120").as_deref(), Some("2026-11-22T12:02:00Z"));
        assert_eq!(at("Sun, 22 Nov 2026 13:00:00 GMT").as_deref(), Some("2026-11-22T13:00:00Z"));
        assert_eq!(at("99999999999999999999999").as_deref(), Some("2026-11-29T12:00:00Z"));
        assert_eq!(at("soon"), None);
        assert_eq!(at(""), None);
        assert_eq!(at("-1"), None);
        assert_eq!(retry_at(&HeaderMap::new(), now), None);
    }

    #[test]
    fn links_are_found_by_their_relation_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, "<https://ca.test/dir>;rel=\"index\"".parse().unwrap());
        assert_eq!(links(&headers, "next"), Vec::<String>::new());
        headers.append(LINK, "<https://ca.test/a>; rel=\"up\", <https://ca.test/b>; rel=next".parse().unwrap());
        headers.append(LINK, "<https://ca.test/c>;rel=\"next\"".parse().unwrap());
        assert_eq!(links(&headers, "next"), ["https://ca.test/b", "https://ca.test/c"]);
    }

    fn answer(status: u16, content_type: &str, body: &'static str) -> Result<Response<Bytes>, Error> {
        let answer = Response::builder().status(status).header(CONTENT_TYPE, content_type).header(RETRY_AFTER, "60");
        checked(&Uri::from_static("https://ca.test/dir"), answer.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    #[test]
    fn every_answer_that_is_not_acme_has_its_own_error() {
        assert!(answer(200, "application/json", "{}").is_ok());
        assert!(matches!(answer(200, "text/html; charset=utf-8", ""), Err(Error::NotAcme { status: 200, .. })));
        assert!(matches!(answer(404, "text/plain", "no"), Err(Error::NotAcme { status: 404, .. })));
        assert!(matches!(answer(502, "text/html", "bad"), Err(Error::Unavailable { retry_at: Some(_), .. })));
        assert!(matches!(answer(302, "text/html", ""), Err(Error::Redirected { .. })));
        assert!(matches!(answer(429, "text/html", ""), Err(Error::RateLimited { retry_at: Some(_), .. })));
    }

    #[test]
    fn a_pause_is_told_from_a_rate_limit_by_its_link() {
        let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
        let paused =
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"visit https://x.test/sfe/v1/unpause?jwt=a"}"#;
        assert!(matches!(answer(429, "application/problem+json", limited), Err(Error::RateLimited { .. })));
        assert!(matches!(answer(429, "application/problem+json", paused), Err(Error::Paused { .. })));
    }
}
