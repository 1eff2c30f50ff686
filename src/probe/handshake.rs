//! A TLS handshake that looks at the certificate and believes nothing.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, HandshakeKind};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::offer::{self, Shown};
use super::{DEADLINE, Error, Offer};
use crate::model::Identifier;

/// How long a client waits for a ticket after the handshake (RFC 8446, section 4.6.1): servers send it at once, or never.
const TICKET_DEADLINE: Duration = Duration::from_millis(200);

/// What a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The leaf in DER.
    pub leaf: CertificateDer<'static>,
    /// What it sent after the leaf, in its order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Protocol version, such as `TLSv1_3`; empty like what follows for a server that ended the conversation after it had shown its
    /// certificate, because it wants one of its client.
    pub protocol: String,
    /// Cipher suite, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The application protocol that was chosen (ALPN, RFC 7301), such as `h2`.
    pub alpn: Option<String>,
}

/// What a client needs to resume a session.
#[derive(Debug)]
pub struct Session {
    address: SocketAddr,
    name: ServerName<'static>,
    client: Arc<ClientConfig>,
}

/// Shakes hands and hangs up. Any certificate is accepted, because it is only looked at. Sessions are never resumed, because a
/// resumed one would show no certificate.
///
/// The name is sent as SNI; a wildcard stands for some name below it; without a name, and for IP addresses (RFC 6066, section
/// 3), none is sent.
pub async fn handshake(address: SocketAddr, server_name: Option<&Identifier>, offer: Offer) -> Result<Served, Error> {
    let (client, shown) = offer.client(false);
    let shake = async {
        let name = sni(address, server_name)?;
        match connect(address, name, Arc::new(client)).await {
            Ok(stream) => served(address, &stream),
            Err(error) => shown_before(&shown).ok_or(error),
        }
    };
    within(address, shake).await
}

/// Shakes hands as [`handshake`] does, and keeps what is needed to resume the session later.
pub async fn begin(
    address: SocketAddr,
    server_name: Option<&Identifier>,
    offer: Offer,
) -> Result<(Served, Session), Error> {
    let (client, _) = offer.client(true);
    let client = Arc::new(client);
    let shake = async {
        let name = sni(address, server_name)?;
        let mut stream = connect(address, name.clone(), Arc::clone(&client)).await?;
        let served = served(address, &stream)?;
        // Without a ticket there is nothing to resume, and that is all.
        let _ = tokio::time::timeout(TICKET_DEADLINE, ticket(&mut stream)).await;
        Ok((served, Session { address, name, client }))
    };
    within(address, shake).await
}

impl Session {
    /// Whether the server resumes it, so that the client goes on with the certificate that it was shown first. Uses up what was kept.
    pub async fn resumes(self) -> Result<bool, Error> {
        let Self { address, name, client } = self;
        let resume = async {
            let stream = connect(address, name, client).await?;
            Ok(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed))
        };
        within(address, resume).await
    }
}

async fn within<T>(address: SocketAddr, look: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, look).await {
        Ok(seen) => seen,
        Err(_) => Err(Error::TimedOut { place: address.to_string(), after: DEADLINE }),
    }
}

async fn connect(
    address: SocketAddr,
    name: ServerName<'static>,
    client: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Error> {
    let stream = TcpStream::connect(address).await.map_err(|source| Error::Unreachable { address, source })?;
    shake(address, stream, name, client).await
}

/// Shakes hands on a connection.
pub(super) async fn shake(
    address: SocketAddr,
    stream: TcpStream,
    name: ServerName<'static>,
    client: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Error> {
    TlsConnector::from(client).connect(name, stream).await.map_err(|error| match refusal(&error) {
        Some(alert) => Error::Refused { address, alert: words(alert) },
        None => no_tls(address, error),
    })
}

/// The alert by which a server ended a handshake (RFC 8446, section 6.2).
fn refusal(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// The name of an alert, as in `unrecognised name`.
fn words(alert: AlertDescription) -> String {
    let mut words = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && words.ends_with(|before: char| before.is_ascii_lowercase()) {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

pub(super) fn no_tls(address: SocketAddr, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Protocol { address, protocol: "TLS", source: source.into() }
}

pub(super) fn served(address: SocketAddr, stream: &TlsStream<TcpStream>) -> Result<Served, Error> {
    let (_, tls) = stream.get_ref();
    let Some((leaf, chain)) = tls.peer_certificates().and_then(|shown| shown.split_first()) else {
        return Err(no_tls(address, "the server showed no certificate"));
    };
    Ok(Served {
        leaf: leaf.clone().into_owned(),
        chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
        protocol: tls.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
        cipher: tls.negotiated_cipher_suite().map_or_else(String::new, |suite| offer::name(suite.suite())),
        alpn: tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    })
}

/// What a server showed before it refused a client without a certificate, which in TLS 1.2 it does in the middle of the handshake.
fn shown_before(shown: &Shown) -> Option<Served> {
    let certificates = shown.signed()?;
    let (leaf, chain) = certificates.split_first()?;
    Some(Served {
        leaf: leaf.clone(),
        chain: chain.to_vec(),
        protocol: String::new(),
        cipher: String::new(),
        alpn: None,
    })
}

/// Reads until a ticket has come. In TLS 1.2 it comes within the handshake.
async fn ticket(stream: &mut TlsStream<TcpStream>) {
    if stream.get_ref().1.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
        return;
    }
    let mut bytes = [0; 256];
    poll_fn(|context| {
        let read = Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut bytes));
        if read.is_ready() || stream.get_ref().1.tls13_tickets_received() > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn sni(address: SocketAddr, name: Option<&Identifier>) -> Result<ServerName<'static>, Error> {
    match name {
        Some(Identifier::Dns(name)) => {
            name.replacen('*', "hotcert-probe", 1).try_into().map_err(|error| no_tls(address, error))
        }
        Some(Identifier::Ip(address)) => Ok(ServerName::from(*address)),
        // rustls sends no SNI for an address.
        None => Ok(ServerName::from(address.ip())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::aws_lc_rs;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig};
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::model::KeyKind;
    use crate::probe::Version;

    struct Server {
        config: ServerConfig,
        leaf: CertificateDer<'static>,
    }

    /// A server with an ECDSA certificate of its own making, which may want one of its clients too.
    fn server(versions: &[&'static rustls::SupportedProtocolVersion], wants_certificate: bool) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["other.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let leaf = certificate.der().clone();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(leaf.clone()).unwrap();
        let builder = if wants_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![leaf.clone()], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Server { config, leaf }
    }

    impl Server {
        /// Shakes hands so many times; the names that were asked for, where that succeeded.
        async fn serve(self, times: usize) -> (SocketAddr, tokio::task::JoinHandle<Vec<Option<String>>>) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(self.config));
            let task = tokio::spawn(async move {
                let mut names = Vec::new();
                for _ in 0..times {
                    if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                        names.push(stream.get_ref().1.server_name().map(str::to_owned));
                    }
                }
                names
            });
            (address, task)
        }
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_is_seen() {
        let ours = server(rustls::ALL_VERSIONS, false);
        let leaf = ours.leaf.clone();
        let (address, names) = ours.serve(3).await;
        for name in [None, Some("192.0.2.1".parse().unwrap()), Some("*.a.test".parse().unwrap())] {
            let served = handshake(address, name.as_ref(), Offer::default()).await.unwrap();
            assert_eq!((served.leaf, served.chain), (leaf.clone(), vec![]));
            assert_eq!((served.protocol.as_str(), served.alpn.as_deref()), ("TLSv1_3", Some("http/1.1")));
        }
        assert_eq!(names.await.unwrap(), [None, None, Some("hotcert-probe.a.test".to_owned())]);
    }

    #[tokio::test]
    async fn what_a_client_does_not_offer_is_refused() {
        let (address, names) = server(&[&rustls::version::TLS12], false).serve(4).await;
        let shake = |version, kind| async move {
            let offer = Offer { version: Some(version), kind };
            handshake(address, None, offer).await.map(|served| served.protocol)
        };
        assert_eq!(shake(Version::Tls12, Some(KeyKind::Ecdsa)).await.unwrap(), "TLSv1_2");
        assert_eq!(shake(Version::Tls12, None).await.unwrap(), "TLSv1_2");
        for (version, kind, expected) in
            [(Version::Tls12, Some(KeyKind::Rsa), "handshake failure"), (Version::Tls13, None, "protocol version")]
        {
            match shake(version, kind).await {
                Err(Error::Refused { alert, .. }) => assert_eq!(alert, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_server_that_wants_a_certificate_of_its_client_is_seen_all_the_same() {
        let ours = server(rustls::ALL_VERSIONS, true);
        let leaf = ours.leaf.clone();
        let (address, names) = ours.serve(2).await;
        for version in Version::ALL {
            let served = handshake(address, None, Offer { version: Some(version), kind: None }).await.unwrap();
            assert_eq!(served.leaf, leaf, "{version}");
        }
        assert_eq!(names.await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_session_is_resumed_by_the_server_that_began_it() {
        for version in Version::ALL {
            let offer = Offer { version: Some(version), kind: None };
            let name = "other.test".parse().unwrap();
            let (address, names) = server(rustls::ALL_VERSIONS, false).serve(2).await;
            let (_, mut session) = begin(address, Some(&name), offer).await.unwrap();
            let (elsewhere, _) = server(rustls::ALL_VERSIONS, false).serve(1).await;
            let address = std::mem::replace(&mut session.address, elsewhere);
            assert!(!session.resumes().await.unwrap(), "{version}");

            let (_, session) = begin(address, Some(&name), offer).await.unwrap();
            names.await.unwrap();
            let (address, _) = server(rustls::ALL_VERSIONS, false).serve(2).await;
            assert!(matches!(session.resumes().await, Err(Error::Unreachable { .. })));
            let (_, session) = begin(address, Some(&name), offer).await.unwrap();
            assert!(session.resumes().await.unwrap(), "{version}");
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_has_its_own_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            listener.accept().await.unwrap().0.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        assert!(matches!(handshake(address, None, Offer::default()).await, Err(Error::Protocol { .. })));
        server.await.unwrap();
        assert!(matches!(handshake(address, None, Offer::default()).await, Err(Error::Unreachable { .. })));
    }
}
