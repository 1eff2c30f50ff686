//! Account keys (RFC 8555, section 6.2).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Error;
use super::signing::SigningKey;
use crate::bundle::{KeyError, PrivateKey, pem};
use crate::model::KeyType;

/// Why the account key of another program is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignKey {
    /// We sign by ECDSA on P-256 alone.
    #[error("its key is an {0} key, and hotcert signs by ECDSA P-256 only")]
    Kind(&'static str),
    /// It cannot be read.
    #[error("its key cannot be read: {0}")]
    Unreadable(String),
}

/// The members of a JSON web key that make an ECDSA key (RFC 7518, section 6.2). It has no `Debug`.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
}

/// The key of an account: ECDSA on P-256 (`ES256`). Never printed; its PEM is wiped when dropped.
#[derive(Clone)]
pub struct AccountKey {
    pem: PrivateKey,
    signing: Arc<SigningKey>,
}

impl AccountKey {
    /// Makes a new key. It is to be saved before an authority hears of it.
    pub fn generate() -> Result<Self, Error> {
        let pem = PrivateKey::generate(KeyType::EcdsaP256).map_err(|error| Error::AccountKey(Some(error.into())))?;
        Self::from_pem(pem.pem())
    }

    /// Reads a key that [`AccountKey::pem`] wrote: PKCS#8.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let pem = PrivateKey::from_pem(text).map_err(|error| Error::AccountKey(Some(error.into())))?;
        pkcs8(&pem)?;
        // instant-acme, which shares the key, knows this kind only.
        let signing = SigningKey::of(&pem).filter(|key| key.algorithm() == "ES256").ok_or(Error::AccountKey(None))?;
        Ok(Self { pem, signing: Arc::new(signing) })
    }

    /// Takes the key of another program's account, in PEM of any form.
    pub fn adopt_pem(text: &str) -> Result<Self, ForeignKey> {
        let unreadable = |error: KeyError| ForeignKey::Unreadable(error.to_string());
        let key = PrivateKey::from_pem(text).map_err(unreadable)?;
        match SigningKey::of(&key).as_ref().map(SigningKey::algorithm) {
            Some("ES256") => {}
            Some("RS256") => return Err(ForeignKey::Kind("RSA")),
            Some("ES384") => return Err(ForeignKey::Kind("ECDSA P-384")),
            _ => return Err(ForeignKey::Kind("unusual")),
        }
        if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(key.pem().as_bytes()) {
            return Self::of_pkcs8(der.secret_pkcs8_der());
        }
        let der = PrivateSec1KeyDer::from_pem_slice(key.pem().as_bytes());
        let der = der.map_err(|_| unreadable(KeyError::Unusable))?;
        Self::of_pair(EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der()))
    }

    /// The same for one that is written as a JSON web key (RFC 7517).
    pub fn adopt_jwk(json: &[u8]) -> Result<Self, ForeignKey> {
        let unreadable = || ForeignKey::Unreadable("it is no JSON web key with an ECDSA key".to_owned());
        // What the parser stumbles over may be a part of the key, so it is not repeated.
        let Jwk { kty, crv, x, y, d } = serde_json::from_slice(json).map_err(|_| unreadable())?;
        let d = d.map(Zeroizing::new);
        match (kty.as_str(), crv.as_deref()) {
            ("EC", Some("P-256")) => {}
            ("RSA", _) => return Err(ForeignKey::Kind("RSA")),
            ("EC", Some("P-384")) => return Err(ForeignKey::Kind("ECDSA P-384")),
            _ => return Err(ForeignKey::Kind("unusual")),
        }
        let decode = |member: Option<&str>| BASE64_URL_SAFE_NO_PAD.decode(member.unwrap_or_default()).ok();
        let parts = (|| {
            let private = Zeroizing::new(decode(d.as_deref().map(String::as_str))?);
            // An uncompressed point (SEC 1, section 2.3.3).
            Some((private, [vec![4], decode(x.as_deref())?, decode(y.as_deref())?].concat()))
        })();
        let (private, public) = parts.ok_or_else(unreadable)?;
        Self::of_pair(EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &private,
            &public,
        ))
    }

    fn of_pair(pair: Result<EcdsaKeyPair, KeyRejected>) -> Result<Self, ForeignKey> {
        let unreadable = || ForeignKey::Unreadable("it is broken".to_owned());
        let der = pair.map_err(|_| unreadable())?.to_pkcs8v1().map_err(|_| unreadable())?;
        Self::of_pkcs8(der.as_ref())
    }

    fn of_pkcs8(der: &[u8]) -> Result<Self, ForeignKey> {
        let pem = Zeroizing::new(pem::encode("PRIVATE KEY", der));
        Self::from_pem(&pem).map_err(|error| ForeignKey::Unreadable(error.to_string()))
    }

    /// The key as one PEM block. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn pem(&self) -> &str {
        self.pem.pem()
    }

    /// The thumbprint (RFC 7638), which is public: the second half of every key authorization.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.signing.thumbprint()
    }

    /// The contents of the PEM block.
    pub(super) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        pkcs8(&self.pem)
    }

    pub(super) fn signing(&self) -> &Arc<SigningKey> {
        &self.signing
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, redacted)", self.thumbprint())
    }
}

fn pkcs8(pem: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.pem().as_bytes())
        .map_err(|error| Error::AccountKey(Some(error.into())))?;
    Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_what_it_writes_and_never_shows_itself() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::from_pem(key.pem()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(format!("{key:?}"), format!("AccountKey({}, redacted)", key.thumbprint()));
        let rsa = PrivateKey::generate(KeyType::Rsa2048).unwrap();
        assert!(matches!(AccountKey::from_pem(rsa.pem()), Err(Error::AccountKey(_))));
    }

    #[test]
    fn keys_of_other_programs_are_taken_in_each_form_if_they_are_of_our_kind() {
        let key = AccountKey::generate().unwrap();
        let pair = rcgen::KeyPair::from_pem(key.pem()).unwrap();
        // RFC 5915: version, private key, curve.
        let scalar =
            aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der())
                .unwrap();
        let scalar = aws_lc_rs::encoding::AsBigEndian::<aws_lc_rs::encoding::EcPrivateKeyBin<'_>>::as_be_bytes(
            &scalar.private_key(),
        )
        .unwrap();
        let der = [
            &[0x30, 0x31, 2, 1, 1, 4, 0x20],
            scalar.as_ref(),
            &[0xa0, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        ]
        .concat();
        let sec1 = pem::encode("EC PRIVATE KEY", &der);
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let (x, y, d) = (encode(x), encode(y), encode(scalar.as_ref()));
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","d":"{d}"}}"#);
        for taken in
            [AccountKey::adopt_pem(key.pem()), AccountKey::adopt_pem(&sec1), AccountKey::adopt_jwk(jwk.as_bytes())]
        {
            assert_eq!(taken.unwrap().thumbprint(), key.thumbprint());
        }
        for (kind, said) in [(KeyType::Rsa2048, "RSA"), (KeyType::EcdsaP384, "ECDSA P-384")] {
            let other = PrivateKey::generate(kind).unwrap();
            assert_eq!(AccountKey::adopt_pem(other.pem()).unwrap_err(), ForeignKey::Kind(said));
        }
        assert_eq!(AccountKey::adopt_jwk(br#"{"kty":"RSA","n":"x"}"#).unwrap_err(), ForeignKey::Kind("RSA"));
        let broken = jwk.replace(&d, "AAAA");
        for bad in ["", "{}", "\0", r#"{"kty":"EC","crv":"P-256"}"#, &broken] {
            let error = AccountKey::adopt_jwk(bad.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains(&x), "{error}");
        }
        assert!(matches!(AccountKey::adopt_pem("nothing"), Err(ForeignKey::Unreadable(_))));
    }
}
