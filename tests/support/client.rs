//! What a client sees: TLS handshakes, without trust and without memory.
//!
//! Nothing is verified: tests look at what is served, right or wrong. No session is ever resumed, because a resumed session
//! goes on showing the certificate with which it began.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::hex;
use super::http::{Response, connect, read_response};

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub version: Option<TlsVersion>,
    pub signatures: Option<Signatures>,
    /// Sends no server name, as very old clients do; the name given is ignored.
    pub no_sni: bool,
}

impl Options {
    /// Offers TLS 1.2 alone.
    pub fn tls12() -> Self {
        Self { version: Some(TlsVersion::Tls12), ..Self::default() }
    }

    /// Offers TLS 1.3 alone.
    pub fn tls13() -> Self {
        Self { version: Some(TlsVersion::Tls13), ..Self::default() }
    }

    /// Accepts signatures by RSA keys alone.
    pub fn rsa() -> Self {
        Self { signatures: Some(Signatures::Rsa), ..Self::default() }
    }

    /// Accepts signatures by ECDSA keys alone.
    pub fn ecdsa() -> Self {
        Self { signatures: Some(Signatures::Ecdsa), ..Self::default() }
    }

    /// Sends no server name.
    pub fn no_sni() -> Self {
        Self { no_sni: true, ..Self::default() }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// The keys whose signatures a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    Rsa,
    Ecdsa,
}

/// What was served in one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// The SHA-256 of the leaf's DER, lower-case hexadecimal without separators.
    pub sha256: String,
    /// All certificates in the order in which they came, the leaf first, as DER.
    pub chain: Vec<Vec<u8>>,
    /// DNS names and IP addresses of the leaf.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub version: TlsVersion,
    /// The cipher suite as rustls names it.
    pub cipher: String,
    /// The OCSP response that was stapled; empty where there was none.
    pub ocsp: Vec<u8>,
}

impl Served {
    /// The DER of the leaf.
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().expect("a handshake without a leaf is an error")
    }
}

/// An open TLS connection; it keeps the worker that accepted it alive.
#[derive(Debug)]
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
    served: Served,
}

impl Connection {
    /// Connects and shakes hands.
    pub fn open(addr: SocketAddr, sni: &str, options: Options) -> io::Result<Self> {
        Self::open_with(addr, sni, config(options)?)
    }

    /// The same with a configuration of rustls.
    pub(super) fn open_with(
        addr: SocketAddr,
        sni: &str,
        (config, verifier): (ClientConfig, Arc<AnyCertificate>),
    ) -> io::Result<Self> {
        let name = ServerName::try_from(sni.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, connect(addr)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let mut served = served(&stream.conn)?;
        served.ocsp.clone_from(&verifier.ocsp.lock().expect("nobody panics with it"));
        Ok(Self { stream, host: sni.to_owned(), served })
    }

    /// What the handshake showed.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Asks for a path, and leaves the connection open.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        // Pebble refuses requests without a user agent (RFC 8555, section 6.1).
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: hotcert-tests\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes())?;
        read_response(&mut self.stream)
    }

    /// Begins to ask for a path, so that the connection is in use.
    pub fn begin(&mut self, path: &str) -> io::Result<()> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host)?;
        self.stream.flush()
    }

    /// Ends what was begun, and reads the answer.
    pub fn finish(&mut self) -> io::Result<Response> {
        self.stream.write_all(b"\r\n")?;
        read_response(&mut self.stream)
    }

    /// Posts a document.
    pub fn post(&mut self, path: &str, body: &str) -> io::Result<Response> {
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hotcert-tests\r\nContent-Length: {length}\r\n\r\n"
        );
        self.stream.write_all((head + body).as_bytes())?;
        read_response(&mut self.stream)
    }
}

/// One handshake, on a connection of its own.
pub fn handshake(addr: SocketAddr, sni: &str, options: Options) -> io::Result<Served> {
    Connection::open(addr, sni, options).map(|connection| connection.served)
}

/// One request over TLS, on a connection of its own.
pub fn https_get(addr: SocketAddr, sni: &str, path: &str) -> io::Result<(Served, Response)> {
    let mut connection = Connection::open(addr, sni, Options::default())?;
    let response = connection.get(path)?;
    Ok((connection.served, response))
}

/// One `POST` over TLS, on a connection of its own.
pub fn https_post(addr: SocketAddr, sni: &str, path: &str, body: &str) -> io::Result<Response> {
    Connection::open(addr, sni, Options::default())?.post(path, body)
}

/// A configuration of rustls, and its verifier, which remembers what was stapled.
pub(super) fn config(options: Options) -> io::Result<(ClientConfig, Arc<AnyCertificate>)> {
    let verifier = Arc::new(AnyCertificate::new(options));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = match options.version {
        None => builder.with_safe_default_protocol_versions(),
        Some(TlsVersion::Tls12) => builder.with_protocol_versions(&[&rustls::version::TLS12]),
        Some(TlsVersion::Tls13) => builder.with_protocol_versions(&[&rustls::version::TLS13]),
    }
    .map_err(io::Error::other)?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::<AnyCertificate>::clone(&verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = !options.no_sni;
    Ok((config, verifier))
}

fn wanted(scheme: SignatureScheme, signatures: Option<Signatures>) -> bool {
    let name = scheme.as_str().unwrap_or_default();
    match signatures {
        None => true,
        Some(Signatures::Rsa) => name.starts_with("RSA"),
        Some(Signatures::Ecdsa) => name.starts_with("ECDSA"),
    }
}

fn served(session: &ClientConnection) -> io::Result<Served> {
    let chain: Vec<Vec<u8>> = session.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
    let leaf = chain.first().ok_or_else(|| io::Error::other("no certificate was served"))?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(io::Error::other)?;
    let instant =
        |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).map_err(io::Error::other);
    let alternative = parsed.subject_alternative_name().map_err(io::Error::other)?;
    // An INTEGER starts with a zero octet where its first bit would read as a sign (X.690, section 8.3).
    let serial = parsed.raw_serial();
    let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
    Ok(Served {
        serial: hex(serial),
        sha256: hex(::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, leaf).as_ref()),
        names: alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(name).collect(),
        not_before: instant(parsed.validity().not_before)?,
        not_after: instant(parsed.validity().not_after)?,
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        },
        cipher: session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
        chain,
        ocsp: Vec::new(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(|octets| std::net::IpAddr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| std::net::IpAddr::from(octets).to_string()))
            .ok(),
        _ => None,
    }
}

/// Accepts whatever is served, and offers the given schemes; keeps what is stapled.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
    ocsp: Mutex<Vec<u8>>,
}

impl AnyCertificate {
    fn new(options: Options) -> Self {
        let schemes = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        let schemes = schemes.into_iter().filter(|scheme| wanted(*scheme, options.signatures)).collect();
        Self { schemes, ocsp: Mutex::default() }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        ocsp.clone_into(&mut self.ocsp.lock().expect("nobody panics with it"));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
