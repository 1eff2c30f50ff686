//! Keys that sign requests, and the JSON web signatures that they make (RFC 7515, RFC 7518, section 3; RFC 8555, section 6.2).

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::bundle::PrivateKey;

/// A key that can sign requests. It has no `Debug`, so that nobody prints it.
pub(super) struct SigningKey {
    pair: Pair,
    /// The public key as a JSON web key: the required members in lexicographic order without blanks (RFC 7638, section 3).
    /// Written by hand because the order of a JSON map is a matter of `serde_json`'s features.
    jwk: String,
    thumbprint: String,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// How whoever signs shows who they are (RFC 8555, section 6.2).
#[derive(Clone, Copy)]
pub(super) enum Signed<'a> {
    /// By the account's URL.
    ByAccount(&'a str),
    /// By the public key itself.
    ByKey,
}

impl SigningKey {
    /// The key as one that signs; `None` when it is of no kind that authorities take: P-256, P-384 or RSA.
    pub(super) fn of(key: &PrivateKey) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(key.pem().as_bytes()).ok()?;
        let (_, spki) = SubjectPublicKeyInfo::from_der(key.spki()).ok()?;
        let (pair, jwk) = match spki.parsed().ok()? {
            PublicKey::RSA(public) => {
                let pair = match &der {
                    PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                    other => RsaKeyPair::from_pkcs8(other.secret_der()),
                };
                let (e, n) = (integer(public.exponent), integer(public.modulus));
                (Pair::Rs256(pair.ok()?), format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
            }
            // An uncompressed point: `04`, X, Y (SEC 1, section 2.3.3).
            PublicKey::EC(point) if point.data().len() == 65 => {
                let pair = Pair::Es256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)?);
                (pair, curve("P-256", point.data()))
            }
            PublicKey::EC(point) if point.data().len() == 97 => {
                let pair = Pair::Es384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, &der)?);
                (pair, curve("P-384", point.data()))
            }
            _ => return None,
        };
        let thumbprint = thumbprint(&jwk);
        Some(Self { pair, jwk, thumbprint })
    }

    /// The name of its algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Es384(_) => "ES384",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// The thumbprint of its public half (RFC 7638).
    pub(super) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Its public half.
    pub(super) fn jwk(&self) -> Value {
        serde_json::from_str(&self.jwk).expect("base64url needs no escapes in JSON")
    }

    /// A signed object. Without a payload it is that of a POST-as-GET (RFC 8555, section 6.3); without a nonce that within another
    /// one (section 7.3.5).
    pub(super) fn sign(&self, by: Signed<'_>, nonce: Option<&str>, url: &str, payload: Option<&Value>) -> Value {
        let mut protected = json!({ "alg": self.algorithm(), "url": url });
        match by {
            Signed::ByAccount(account) => protected["kid"] = json!(account),
            Signed::ByKey => protected["jwk"] = self.jwk(),
        }
        if let Some(nonce) = nonce {
            protected["nonce"] = json!(nonce);
        }
        flattened(&protected, payload, |message| self.signature(message))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        const SIGNS: &str = "signing with a checked key fails only without a source of randomness";
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) | Pair::Es384(pair) => pair.sign(&random, message).expect(SIGNS).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect(SIGNS);
                signature
            }
        }
    }
}

/// A JSON web signature in its flattened form (RFC 7515, section 7.2.2).
pub(super) fn flattened(protected: &Value, payload: Option<&Value>, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let (protected, payload) = (encode(protected), payload.map(encode).unwrap_or_default());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(format!("{protected}.{payload}").as_bytes()));
    json!({ "protected": protected, "payload": payload, "signature": signature })
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, der: &PrivateKeyDer<'_>) -> Option<EcdsaKeyPair> {
    match der {
        PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).ok(),
        other => EcdsaKeyPair::from_pkcs8(algorithm, other.secret_der()).ok(),
    }
}

fn curve(name: &str, point: &[u8]) -> String {
    let (x, y) = point[1..].split_at(point.len() / 2);
    let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
    format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

/// An integer of DER without the zeros in front that only tell its sign (RFC 7518, section 6.3.1).
fn integer(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    BASE64_URL_SAFE_NO_PAD.encode(&bytes[zeros..])
}

fn thumbprint(canonical: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    };

    use super::*;
    use crate::model::KeyType;

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
    fn every_kind_of_key_signs_what_its_jwk_verifies() {
        for (kind, algorithm) in
            [(KeyType::EcdsaP256, "ES256"), (KeyType::EcdsaP384, "ES384"), (KeyType::Rsa2048, "RS256")]
        {
            let key = SigningKey::of(&PrivateKey::generate(kind).unwrap()).unwrap();
            let body = key.sign(Signed::ByKey, Some("n"), "https://ca.test/new", Some(&json!({ "a": 1 })));
            let part = |name: &str| body[name].as_str().unwrap().to_owned();
            let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
            let protected: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap();
            assert_eq!((&protected["alg"], &protected["nonce"]), (&json!(algorithm), &json!("n")));
            assert_eq!(protected["url"], "https://ca.test/new");
            let member = |name: &str| decode(protected["jwk"][name].as_str().unwrap());
            let message = format!("{}.{}", part("protected"), part("payload"));
            let (message, signature) = (message.as_bytes(), decode(&part("signature")));
            let point = || [vec![4], member("x"), member("y")].concat();
            match kind {
                KeyType::EcdsaP256 => {
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()).verify(message, &signature)
                }
                KeyType::EcdsaP384 => {
                    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()).verify(message, &signature)
                }
                _ => RsaPublicKeyComponents { n: member("n"), e: member("e") }.verify(
                    &RSA_PKCS1_2048_8192_SHA256,
                    message,
                    &signature,
                ),
            }
            .unwrap();
        }
    }

    #[test]
    fn a_request_of_an_account_names_it_and_may_have_no_payload() {
        let key = SigningKey::of(&PrivateKey::generate(KeyType::EcdsaP256).unwrap()).unwrap();
        let body = key.sign(Signed::ByAccount("https://ca.test/1"), Some("n"), "u", None);
        assert_eq!(body["payload"], "");
        let protected = BASE64_URL_SAFE_NO_PAD.decode(body["protected"].as_str().unwrap()).unwrap();
        let protected: Value = serde_json::from_slice(&protected).unwrap();
        assert_eq!((&protected["kid"], &protected["jwk"]), (&json!("https://ca.test/1"), &Value::Null));
    }
}
