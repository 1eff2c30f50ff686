//! A test authority: root, one or two intermediates, and leaves to order.

mod leaf;
mod ocsp;

pub use leaf::{Leaf, LeafBuilder};
pub use ocsp::OcspBuilder;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm,
};

/// Seconds of a day.
pub const DAY: i64 = 24 * 60 * 60;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    EcdsaP256,
    EcdsaP384,
    Rsa2048,
}

impl KeyType {
    /// A new key.
    pub fn generate(self) -> KeyPair {
        KeyPair::generate_for(self.algorithm()).expect("every kind can be generated")
    }

    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048 => &PKCS_RSA_SHA256,
        }
    }
}

/// An authority with a root and intermediates, all of ECDSA P-256 keys and valid for years around now.
#[derive(Debug)]
pub struct Pki {
    root_pem: String,
    /// From the one that signs leaves up to the one that the root signed.
    intermediates: Vec<String>,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Root → intermediate → leaves.
    pub fn new() -> Self {
        Self::with_intermediates(1)
    }

    /// Root → intermediate → second intermediate → leaves.
    pub fn with_two_intermediates() -> Self {
        Self::with_intermediates(2)
    }

    /// Root → so many intermediates → leaves.
    pub fn with_intermediates(count: usize) -> Self {
        // A name of its own for each authority: programs look issuers up by name first.
        let mark = super::hex(&rand::random::<[u8; 4]>());
        let key = KeyType::EcdsaP256.generate();
        let params = authority(&format!("Test Root {mark}"));
        let root_pem = params.self_signed(&key).expect("the parameters are complete").pem();
        let mut issuer = Issuer::new(params, key);
        let mut intermediates = Vec::new();
        for number in 1..=count {
            let key = KeyType::EcdsaP256.generate();
            let params = authority(&format!("Test Intermediate {number} {mark}"));
            let certificate = params.signed_by(&key, &issuer).expect("the parameters are complete");
            intermediates.insert(0, certificate.pem());
            issuer = Issuer::new(params, key);
        }
        Self { root_pem, intermediates, issuer }
    }

    /// The root certificate.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The intermediates, in the order in which a server sends them.
    pub fn intermediates(&self) -> &[String] {
        &self.intermediates
    }

    /// The key that signs leaves, for another program that does.
    pub fn issuer_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Begins a leaf for one name, a DNS name or an IP address: ECDSA P-256, from yesterday to 90 days from now.
    pub fn leaf(&self, name: &str) -> LeafBuilder<'_> {
        LeafBuilder::new(Some(self), name)
    }

    /// A leaf without an authority, as administrators make for a first start.
    pub fn self_signed(name: &str) -> Leaf {
        LeafBuilder::new(None, name).issue()
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, Timestamp::now().as_second() - 1000 * DAY, Timestamp::now().as_second() + 1000 * DAY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Parameters with a subject and a validity in seconds since the epoch.
fn params(name: &str, not_before: i64, not_after: i64) -> CertificateParams {
    // Every seconds count from the epoch on is reached this way, without naming the crate of rcgen's time type.
    let instant = |seconds: i64| {
        let since =
            std::time::Duration::from_secs(u64::try_from(seconds).expect("certificates here are younger than 1970"));
        rcgen::date_time_ymd(1970, 1, 1) + since
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = instant(not_before);
    params.not_after = instant(not_after);
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
