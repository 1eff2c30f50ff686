//! Account keys and signed requests (RFC 8555, section 6.2), where instant-acme has no door for us.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Error;
use crate::bundle::PrivateKey;
use crate::model::KeyType;

/// The key of an account: ECDSA on P-256 (`ES256`). Never printed; its PEM is wiped when dropped.
#[derive(Clone)]
pub struct AccountKey {
    pem: PrivateKey,
    pair: Arc<EcdsaKeyPair>,
    thumbprint: String,
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
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8(&pem)?)
            .map_err(|error| Error::AccountKey(Some(error.into())))?;
        let thumbprint = thumbprint(&canonical_jwk(&pair));
        Ok(Self { pem, pair: Arc::new(pair), thumbprint })
    }

    /// The key as one PEM block. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn pem(&self) -> &str {
        self.pem.pem()
    }

    /// The thumbprint (RFC 7638), which is public: the second half of every key authorization.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The contents of the PEM block.
    pub(super) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        pkcs8(&self.pem)
    }

    /// The body of a signed request. The key shows itself by the account's URL or, where there is none yet, as a JWK. Without
    /// a payload it is a POST-as-GET (RFC 8555, section 6.3).
    pub(super) fn sign(&self, account: Option<&str>, nonce: &str, url: &str, payload: Option<&Value>) -> String {
        let protected = match account {
            Some(account) => json!({ "alg": "ES256", "kid": account, "nonce": nonce, "url": url }),
            None => json!({ "alg": "ES256", "jwk": jwk(&self.pair), "nonce": nonce, "url": url }),
        };
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let protected = encode(&protected);
        let payload = payload.map(encode).unwrap_or_default();
        let signature = self
            .pair
            .sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes())
            .expect("signing with a checked key fails only without a source of randomness");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        json!({ "protected": protected, "payload": payload, "signature": signature }).to_string()
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, redacted)", self.thumbprint)
    }
}

fn pkcs8(pem: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.pem().as_bytes())
        .map_err(|error| Error::AccountKey(Some(error.into())))?;
    Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec()))
}

/// X and Y of the public key, which is an uncompressed point: `04`, X, Y (SEC 1, section 2.3.3).
fn coordinates(pair: &EcdsaKeyPair) -> (String, String) {
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y))
}

fn jwk(pair: &EcdsaKeyPair) -> Value {
    let (x, y) = coordinates(pair);
    json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
}

/// The required members in lexicographic order without blanks (RFC 7638, section 3). Written by hand because the order of a
/// JSON map is a matter of `serde_json`'s features.
fn canonical_jwk(pair: &EcdsaKeyPair) -> String {
    let (x, y) = coordinates(pair);
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

fn thumbprint(canonical: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let canonical = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxu"#,
            r"hDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvzq",
            r"Y368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XP",
            r#"ksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#,
        );
        assert_eq!(thumbprint(canonical), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

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
    fn a_signed_request_verifies_with_the_key_that_it_names() {
        let key = AccountKey::generate().unwrap();
        let body: Value =
            serde_json::from_str(&key.sign(None, "n", "https://ca.test/new", Some(&json!({ "a": 1 })))).unwrap();
        let part = |name: &str| body[name].as_str().unwrap().to_owned();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let protected: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap();
        assert_eq!(protected["alg"], "ES256");
        assert_eq!(protected["url"], "https://ca.test/new");
        assert_eq!(protected["nonce"], "n");
        let mut point = vec![4];
        point.extend(decode(protected["jwk"]["x"].as_str().unwrap()));
        point.extend(decode(protected["jwk"]["y"].as_str().unwrap()));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(format!("{}.{}", part("protected"), part("payload")).as_bytes(), &decode(&part("signature")))
            .unwrap();

        let body: Value = serde_json::from_str(&key.sign(Some("https://ca.test/1"), "n", "u", None)).unwrap();
        assert_eq!(body["payload"], "");
    }
}
