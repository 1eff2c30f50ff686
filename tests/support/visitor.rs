//! Clients with certificates, and the authority that issues and revokes them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::client::{self, Connection, Options};

const HOUR: i64 = 60 * 60;

/// So many seconds from now, in rcgen's type of time, whose crate is not named here.
macro_rules! instant {
    ($seconds:expr) => {{
        let since = Timestamp::now().as_second() + $seconds;
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(since).expect("it is after 1970"))
    }};
}

/// An authority of clients.
#[derive(Debug)]
pub struct Club {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client with a certificate.
#[derive(Debug)]
pub struct Visitor {
    pub serial: Vec<u8>,
    key: Arc<CertifiedKey>,
}

impl Club {
    pub fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be generated");
        let pem = params.self_signed(&key).expect("the parameters are complete").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Lets a client in.
    pub fn admit(&self, name: &str) -> Visitor {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let mut serial = rand::random::<[u8; 16]>().to_vec();
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = KeyPair::generate().expect("a key can be generated");
        let cert = params.signed_by(&key, &self.issuer).expect("the parameters are complete");
        let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a generated key is PEM");
        let der = CertificateDer::from(cert.der().to_vec());
        let key = CertifiedKey::from_der(vec![der], private, &aws_lc_rs::default_provider()).expect("they match");
        Visitor { serial, key: Arc::new(key) }
    }

    /// A revocation list of now.
    pub fn crl(&self, revoked: &[&Visitor]) -> String {
        let serials: Vec<_> = revoked.iter().map(|visitor| visitor.serial.clone()).collect();
        self.crl_from(-HOUR, 24 * HOUR, &serials)
    }

    /// A revocation list, made and due so many seconds from now.
    pub fn crl_from(&self, this: i64, next: i64, revoked: &[Vec<u8>]) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: instant!(-2 * HOUR),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: instant!(this),
            next_update: instant!(next),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("the parameters are complete").pem().expect("a list is PEM")
    }
}

impl Visitor {
    /// One request on a new connection, without resumption: the body, or how the visitor was refused.
    pub fn visit(&self, addr: SocketAddr, sni: &str) -> io::Result<String> {
        let (mut config, verifier) = client::config(Options::default())?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)));
        // In TLS 1.3 a client hears of its refusal after its own part is done.
        Connection::open_with(addr, sni, (config, verifier))?.get("/").map(|response| response.text())
    }

    pub fn is_let_in(&self, addr: SocketAddr, sni: &str) -> bool {
        self.visit(addr, sni).is_ok()
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Test, Clubs & Co");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = instant!(-24 * HOUR);
    params.not_after = instant!(90 * 24 * HOUR);
    params.use_authority_key_identifier_extension = true;
    params
}
