//! Answers tls-alpn-01 challenges (RFC 8737; RFC 8738 for addresses): a TLS server that shows a certificate of its own making, and says
//! nothing else.
//!
//! It speaks no protocol but `acme-tls/1`, and shows a certificate only to who asks for a name that has a challenge; everybody else is
//! refused before a handshake. A name has one answer at a time: a second challenge for it waits until the first is through. It stops
//! when the [`Responder`] is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;

use super::Error;
use super::server::Server;
use crate::model::{ALPN_PROTOCOL, Identifier, Token};

/// How long another order may have a challenge for the same name: as long as an order may take.
const TURN_DEADLINE: Duration = Duration::from_mins(5);

/// How long a client may take to say what it wants.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The subject of the certificates: an issuer has to have a name (RFC 5280, section 4.1.2.4).
const SUBJECT: &str = "hotcert tls-alpn-01 challenge";

/// A running server.
#[derive(Debug)]
pub struct Responder {
    answers: Arc<Answers>,
    server: Server,
}

/// The answers, by the name that is asked for.
#[derive(Debug, Default)]
struct Answers {
    by_name: Mutex<BTreeMap<String, Answer>>,
    /// Told when a name has become free.
    freed: Notify,
}

#[derive(Debug)]
struct Answer {
    token: Token,
    config: Arc<ServerConfig>,
}

impl Responder {
    /// Listens; port 0 lets the system choose one.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let answers = Arc::<Answers>::default();
        let shared = Arc::clone(&answers);
        let server = Server::bind(address, move |stream| serve(stream, Arc::clone(&shared))).await?;
        Ok(Self { answers, server })
    }

    /// The address in use.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// From now on, answers for a name; waits while another challenge for the name is answered.
    pub async fn add(&self, name: &Identifier, token: &Token, key_authorization: &str) -> Result<(), Error> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Certificate { name: name.clone(), source };
        let answer =
            Answer { token: token.clone(), config: Arc::new(config(name, key_authorization).map_err(failed)?) };
        let turn = async {
            loop {
                let freed = self.answers.freed.notified();
                tokio::pin!(freed);
                // From here on nothing is missed.
                freed.as_mut().enable();
                if !self.answers.has_other(name, token) {
                    break;
                }
                freed.await;
            }
        };
        let busy = |_| Error::Taken { name: name.clone(), waited: TURN_DEADLINE };
        tokio::time::timeout(TURN_DEADLINE, turn).await.map_err(busy)?;
        self.answers.lock().insert(name.handshake_name(), answer);
        Ok(())
    }

    /// Stops answering for a token.
    pub fn remove(&self, token: &Token) {
        self.answers.lock().retain(|_, answer| answer.token != *token);
        self.answers.freed.notify_waiters();
    }
}

impl Answers {
    fn has_other(&self, name: &Identifier, token: &Token) -> bool {
        self.lock().get(&name.handshake_name()).is_some_and(|answer| answer.token != *token)
    }

    /// What to go on with after a greeting, or how to refuse it.
    fn to(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, AlertDescription> {
        // Exactly the one protocol (RFC 8737, section 3).
        if !hello.alpn().is_some_and(|offered| offered.eq([ALPN_PROTOCOL])) {
            return Err(AlertDescription::NoApplicationProtocol);
        }
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let answers = self.lock();
        answers.get(&name).map(|answer| Arc::clone(&answer.config)).ok_or(AlertDescription::UnrecognisedName)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one connection. How it ends is of no interest.
async fn serve(stream: TcpStream, answers: Arc<Answers>) {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let Ok(Ok(mut start)) = tokio::time::timeout(HELLO_TIMEOUT, hello).await else { return };
    match answers.to(&start.client_hello()) {
        Ok(config) => {
            if let Ok(mut stream) = start.into_stream(config).await {
                let _ = stream.shutdown().await;
            }
        }
        Err(alert) => {
            let _ = start.io.write_all(&record(alert)).await;
            let _ = start.io.shutdown().await;
        }
    }
}

/// A fatal alert in a record of its own (RFC 8446, sections 5.1 and 6).
fn record(alert: AlertDescription) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, alert.into()]
}

/// What shows the certificate for a name: signed by itself, for that name alone, with the digest of the key authorization (RFC 8737,
/// section 3).
fn config(
    name: &Identifier,
    key_authorization: &str,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![match name {
        Identifier::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        Identifier::Ip(address) => SanType::IpAddress(*address),
    }];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    let digest = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    // `with_single_cert` would look into the certificate, and refuse its critical extension.
    let certified = CertifiedKey::new(vec![certificate], any_ecdsa_type(&key)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    // Nobody comes back.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests;
