//! A URL that is told: one `POST` with the event as JSON. Redirects are not followed, and answers are not read.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::CertificateError;
use zeroize::Zeroizing;

use crate::acme;
use crate::model::distrust;
use crate::store;

/// How long a request may take as a whole.
const DEADLINE: Duration = Duration::from_secs(10);

/// A webhook could not be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A file cannot be read.
    #[error("{0} cannot be read")]
    File(String, #[source] store::Error),
    /// A file is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// A file does not hold what it should.
    #[error("{0} holds no token: one line of visible characters")]
    Token(String),
    /// The roots cannot be used.
    #[error("{0} cannot be used")]
    Roots(String, #[source] acme::Error),
    /// The request could not be made.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Its certificate is not believed.
    #[error("its certificate {}", distrust(.0))]
    Distrusted(CertificateError),
    /// It took too long.
    #[error("it did not answer within {DEADLINE:?}")]
    Slow,
    /// It answered with an error.
    #[error("it answered {0}")]
    Refused(StatusCode),
}

impl Error {
    /// Whether the same may work later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            _ => true,
        }
    }

    /// What a person can do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Distrusted(CertificateError::UnknownIssuer) => {
                "set `root_ca` of the webhook to the certificate of its authority"
            }
            Self::Refused(status) if status.is_redirection() => {
                "set `url` to where it leads: redirects are not followed"
            }
            Self::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => "look at `token_file` of the webhook",
            Self::Refused(StatusCode::NOT_FOUND) => "look at `url` of the webhook",
            _ => return None,
        })
    }

    /// Why there was no answer: the innermost of the causes tells most.
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let causes = successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        });
        let distrusted = causes.clone().find_map(|cause| match cause.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(reason)) => Some(reason.clone()),
            _ => None,
        });
        match distrusted {
            Some(reason) => Self::Distrusted(reason),
            None => Self::Unreachable(causes.last().unwrap_or(error).to_string()),
        }
    }
}

pub(super) async fn post(
    url: &str,
    token_file: Option<&Path>,
    root_ca: Option<&Path>,
    id: &str,
    document: Vec<u8>,
) -> Result<(), Error> {
    let roots = match root_ca {
        Some(file) => Some(Zeroizing::new(String::from_utf8_lossy(&read(file)?).into_owned())),
        None => None,
    };
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("hotcert/", env!("CARGO_PKG_VERSION")))
        .header("Idempotency-Key", id)
        .body(Full::new(Bytes::from(document)))
        .map_err(|error| Error::of(&error))?;
    if let Some(file) = token_file {
        let bytes = read(file)?;
        let wrong = || Error::Token(file.display().to_string());
        let token = std::str::from_utf8(&bytes).map_err(|_| wrong())?.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let value = Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let roots = acme::roots(roots.as_deref().map(String::as_str)).map_err(|error| {
        let file = root_ca.map_or_else(|| "the store of the system".to_owned(), |file| file.display().to_string());
        Error::Roots(file, error)
    })?;
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(DEADLINE));
    // Which of the two it is, the configuration has checked.
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let answer = tokio::time::timeout(DEADLINE, client.request(request)).await.map_err(|_| Error::Slow)?;
    let status = answer.map_err(|error| Error::of(&error))?.status();
    if status.is_success() { Ok(()) } else { Err(Error::Refused(status)) }
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let shown = || file.display().to_string();
    store::read_file(file).map_err(|error| Error::File(shown(), error))?.ok_or_else(|| Error::Missing(shown()))
}
