//! TLS to a node: a frontend of `HAProxy` that asks for a client certificate and leads to a stats socket.
//!
//! `ssl` on a `stats socket` line is accepted and ignored by every version, so a peer that answers in plain text is an error of
//! its own, and nothing is sent before the handshake has shown who it is. One authority is believed, not those of the system:
//! whoever poses as a node is sent private keys. No file but the client certificate's own is shown to the peer.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::connect::Stream;
use super::error::Error;
use crate::bundle::pem::MAX_INPUT;
use crate::model::{Address, ClientTls, Endpoint, distrust};
use crate::schedule::Retry;

/// TLS to a node does not come about. Each is told whole in one line, for a node has no more in a table.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It was asked for without the files that it takes.
    #[error("it takes a client certificate, and none is given")]
    NoFiles,
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// A file is not what it has to be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Certificates cannot be issued to such a host.
    #[error("{host:?} is neither a DNS name nor an IP address")]
    Host {
        /// The host.
        host: String,
    },
    /// The peer speaks, and it is not TLS.
    #[error("it answers in plain text")]
    PlainText,
    /// The peer shows a certificate that is not believed.
    #[error("its certificate {}", distrust(.0))]
    ServerCertificate(CertificateError),
    /// The peer does not take our certificate.
    #[error("it refuses the client certificate: {}", complaint(*.0))]
    ClientCertificate(AlertDescription),
    /// The peer went away after the handshake, before its first answer.
    #[error("it closed the connection after the handshake")]
    Ended,
    /// The peer speaks older versions of TLS only.
    #[error("it speaks neither TLS 1.2 nor TLS 1.3")]
    TooOld,
    /// The peer took too long for the handshake.
    #[error("it has not finished the handshake within {seconds} s")]
    Slow {
        /// The deadline.
        seconds: u64,
    },
    /// The peer went away during the handshake.
    #[error("it closed the connection during the handshake")]
    Interrupted,
    /// The handshake failed otherwise.
    #[error("the handshake failed: {0}")]
    Handshake(io::Error),
}

impl TlsError {
    /// When it may be tried again. Files and certificates are renewed by others, at any time.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::NoFiles | Self::Host { .. } => Retry::Never,
            _ => Retry::Backoff,
        }
    }

    /// What a person can do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NoFiles => {
                "write the node into a configuration file, with tls = { ca = \"…\", cert = \"…\", key = \"…\" }; flags cannot name these files"
            }
            Self::Read { why, .. } if why.kind() == ErrorKind::PermissionDenied => "let hotcert's user read it",
            Self::Read { .. } | Self::File { .. } => "correct `tls` of the node in the configuration, or the file",
            Self::Host { .. } => "correct `socket` of the node in the configuration",
            Self::PlainText => {
                "give the address of a frontend with `ssl crt … ca-file … verify required` that leads to the stats socket (`hotcert config haproxy` prints one); HAProxy ignores `ssl` on a `stats socket` line, and anyone who reaches that port can take the private keys"
            }
            Self::ServerCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "use a name of the certificate as the host of `socket`, or issue it for this one",
            Self::ServerCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                "renew the certificate on the frontend's bind line"
            }
            Self::ServerCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                "look at the clock of this machine; if it is right, renew the certificate on the frontend's bind line"
            }
            Self::ServerCertificate(_) => {
                "let `ca` of the node name the authority that signed the certificate on the frontend's bind line"
            }
            Self::ClientCertificate(AlertDescription::CertificateExpired) => {
                "renew the certificate in `cert` of the node"
            }
            Self::ClientCertificate(_) => {
                "let an authority in the `ca-file` of the frontend's bind line sign `cert` of the node, for client authentication"
            }
            Self::Ended => {
                "look whether the frontend leads to a `stats socket` that is there, and into HAProxy's log whether it refuses the client certificate"
            }
            Self::TooOld => "let the frontend's bind line allow TLS 1.2: see its `ssl-min-ver` and `ssl-max-ver`",
            Self::Slow { .. } => "look whether this is a TLS frontend, and whether HAProxy is overloaded",
            Self::Interrupted | Self::Handshake(_) => "look whether this is a TLS frontend, and into HAProxy's log",
        }
    }
}

/// What a handshake with one node takes.
pub(super) struct Client {
    address: Address,
    name: ServerName<'static>,
    config: ClientConfig,
}

impl Client {
    /// Reads the files for an endpoint; `None` when it is not behind TLS.
    pub(super) fn of(to: Endpoint<'_>) -> Result<Option<Self>, Error> {
        let Address::Tls(authority) = to.address else { return Ok(None) };
        let client = || {
            let files = to.tls.ok_or(TlsError::NoFiles)?;
            let name = ServerName::try_from(authority.host.clone())
                .map_err(|_| TlsError::Host { host: authority.host.clone() })?;
            Ok(Self { address: to.address.clone(), name, config: config(files)? })
        };
        client().map(Some).map_err(|why| failed(to.address, why))
    }

    /// Shakes hands. It has no deadline.
    pub(super) async fn shake(self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Error> {
        let Self { address, name, config } = self;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(failed(&address, refused(error))),
        }
    }
}

/// What an error of the first exchange means: TLS 1.3 tells a client only then what became of its certificate.
pub(super) fn first_answer(to: Endpoint<'_>, error: Error) -> Error {
    match (to.address, error) {
        (Address::Tls(_), Error::Closed { source, .. }) => failed(
            to.address,
            match source {
                Some(source) => alert(&source).map_or(TlsError::Ended, TlsError::ClientCertificate),
                None => TlsError::Ended,
            },
        ),
        (_, error) => error,
    }
}

/// The handshake took too long.
pub(super) fn slow(address: &Address, seconds: u64) -> Error {
    failed(address, TlsError::Slow { seconds })
}

fn failed(address: &Address, why: TlsError) -> Error {
    Error::Tls { address: address.clone(), why: Box::new(why) }
}

/// Why a handshake failed.
fn refused(error: io::Error) -> TlsError {
    match cause(&error) {
        Some(rustls::Error::InvalidMessage(_)) => TlsError::PlainText,
        Some(rustls::Error::InvalidCertificate(reason)) => TlsError::ServerCertificate(reason.clone()),
        Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)) => TlsError::TooOld,
        _ if let Some(alert) = alert(&error) => TlsError::ClientCertificate(alert),
        _ if error.kind() == ErrorKind::UnexpectedEof => TlsError::Interrupted,
        _ => TlsError::Handshake(error),
    }
}

/// What an alert about our certificate says.
fn complaint(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => "it has expired".to_owned(),
        A::CertificateRevoked => "it is revoked".to_owned(),
        A::UnknownCA => "it is signed by an authority that the node does not trust (UnknownCA)".to_owned(),
        A::UnsupportedCertificate => "it is not for client authentication".to_owned(),
        other => format!("{other:?}"),
    }
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The alert about our certificate, where there is one (RFC 8446, section 6.2).
fn alert(error: &io::Error) -> Option<AlertDescription> {
    use AlertDescription as A;
    match cause(error) {
        Some(rustls::Error::AlertReceived(
            alert @ (A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
            | A::CertificateRequired),
        )) => Some(*alert),
        _ => None,
    }
}

fn config(files: &ClientTls) -> Result<ClientConfig, TlsError> {
    let wrong = |path: &Path, reason| TlsError::File { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for root in certificates(&files.ca)? {
        roots.add(root).map_err(|_| wrong(&files.ca, "there is a certificate in it that cannot be a root"))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .expect("there are roots, and no revocation lists");

    let pem = read(&files.key)?;
    // What the parser says about a key may repeat some of it, so it is not passed on.
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map(Zeroizing::new)
        .map_err(|_| wrong(&files.key, "there is no private key in it, or one that needs a pass phrase"))?;
    let signing = any_supported_type(&key)
        .map_err(|_| wrong(&files.key, "the private key is broken, or neither RSA, ECDSA nor Ed25519"))?;
    let certified = CertifiedKey::new(certificates(&files.cert)?, signing);
    certified.keys_match().map_err(|_| wrong(&files.key, "the private key does not belong to the certificate"))?;

    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // Every connection is to be let in anew.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The certificates of a PEM file: at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason| TlsError::File { path: path.to_owned(), reason };
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(_) => Err(wrong("it is not valid PEM")),
    }
}

/// A regular file of bounded size, in one allocation: growing would leave copies of a key behind in freed memory.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let fail = |why| TlsError::Read { path: path.to_owned(), why };
    let too_long = || fail(io::Error::from(ErrorKind::FileTooLarge));
    let found = std::fs::metadata(path).map_err(fail)?;
    if !found.is_file() {
        return Err(TlsError::File { path: path.to_owned(), reason: "it is not a regular file" });
    }
    let length = usize::try_from(found.len()).ok().filter(|length| *length <= MAX_INPUT).ok_or_else(too_long)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    let file = File::open(path).map_err(fail)?;
    file.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
