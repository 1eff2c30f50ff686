//! HTTPS to one authority: bounded in time and size, and every failure typed.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Error;
use super::answer::{checked, date, host};
use super::problem::sanitised;

/// Largest answer that is read, in bytes; orders of a hundred names and certificate chains stay far below.
const BODY_LIMIT: usize = 1024 * 1024;

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

/// Whether a URL that an authority names may be followed: absolute, `https` (RFC 8555, section 6.1), and no longer than any.
pub(super) fn is_usable(url: &str) -> bool {
    let has_host = |url: Uri| url.authority().is_some_and(|authority| !authority.host().is_empty());
    url.len() <= URL_LIMIT && url.parse::<Uri>().is_ok_and(|url| url.scheme_str() == Some("https") && has_host(url))
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
