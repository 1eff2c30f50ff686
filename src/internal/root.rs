//! The root: a key, and a certificate that it signed itself.

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{Error, stamp};
use crate::bundle::{PrivateKey, pem};
use crate::model::{KeyType, printable};

/// How long a root is valid: ten years.
const LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Signs for ten years, so it is stronger than the leaves.
const KEY_TYPE: KeyType = KeyType::EcdsaP384;

/// The longest part of a name, in characters: 64 are allowed (RFC 5280, appendix A.1), of which one says that there was more.
const LONGEST: usize = 63;

/// How the key begins.
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// The root of a private authority.
pub struct Root {
    certificate: CertificateDer<'static>,
    key: PrivateKey,
}

impl Root {
    /// Makes a root for the issuer of this name, on this host.
    pub fn generate(name: &str, host: &str, now: Timestamp) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        let date = now.strftime("%F").to_string();
        let about = format!("hotcert private root, created {date}");
        params.distinguished_name = DistinguishedName::new();
        // Trust stores list either of these.
        for (kind, text) in [
            (DnType::OrganizationName, format!("hotcert on {host}")),
            (DnType::OrganizationalUnitName, about),
            (DnType::CommonName, format!("hotcert {name} on {host}, {date}")),
        ] {
            params.distinguished_name.push(kind, printable(&text, LONGEST));
        }
        // It signs leaves alone.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        stamp(&mut params, now, LIFETIME);
        let key = PrivateKey::generate(KEY_TYPE)?;
        let certificate = params.self_signed(&KeyPair::from_pem(key.pem())?)?.der().clone();
        Ok(Self { certificate, key })
    }

    /// Reads what [`Root::pem`] wrote.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::BadRoot { reason };
        let at = text.find(KEY_BEGINS).ok_or_else(|| bad("it has no key"))?;
        let certificate =
            CertificateDer::from_pem_slice(&text.as_bytes()[..at]).map_err(|_| bad("it has no certificate"))?;
        let key = PrivateKey::from_pem(&text[at..]).map_err(|_| bad("its key is broken"))?;
        {
            let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| bad("its certificate is broken"))?;
            if !parsed.is_ca() || parsed.verify_signature(None).is_err() {
                return Err(bad("its certificate is no root"));
            }
            if !key.matches(parsed.public_key().raw) {
                return Err(bad("its key belongs to another certificate"));
            }
        }
        Ok(Self { certificate, key })
    }

    /// The certificate and the key, in this order.
    #[must_use]
    pub fn pem(&self) -> Zeroizing<String> {
        let (certificate, key) = (self.certificate_pem(), self.key.pem());
        // One allocation of the final size: growing would leave copies of the key behind in freed memory.
        let mut out = Zeroizing::new(String::with_capacity(certificate.len() + key.len()));
        out.push_str(&certificate);
        out.push_str(key);
        out
    }

    /// The certificate, which is for everybody, in DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate, which is for everybody, as a PEM block.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::certificate(&self.certificate)
    }

    /// What signs, if it may do so now.
    pub(super) fn issuer(&self, now: Timestamp) -> Result<(Issuer<'static, KeyPair>, Timestamp), Error> {
        let bad = |_| Error::BadRoot { reason: "its certificate is broken" };
        let (_, parsed) = X509Certificate::from_der(&self.certificate).map_err(bad)?;
        let instant = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let validity = parsed.validity();
        let not_before = instant(validity.not_before.timestamp());
        let not_after = instant(validity.not_after.timestamp());
        if now < not_before || now >= not_after {
            return Err(Error::RootNotValid { not_before, not_after, now });
        }
        let issuer = Issuer::from_ca_cert_der(&self.certificate, KeyPair::from_pem(self.key.pem())?)?;
        Ok((issuer, not_after))
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root(key redacted)")
    }
}
