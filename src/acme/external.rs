//! External account binding (RFC 8555, section 7.3.4): an authority that knows its customers otherwise gives them a key with
//! which a new account is vouched for, once.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Error;
use super::signing::{SigningKey, flattened};

/// Authorities give keys of 32 or 64 bytes. A longer one is hashed first (RFC 2104), so it would be no mistake, but is none
/// that anybody hands out.
const LONGEST: usize = 512;

/// What an authority calls a customer, and the key that they share. The key is never printed, and wiped when dropped.
#[derive(Clone)]
pub struct ExternalAccount {
    kid: String,
    key: Zeroizing<Vec<u8>>,
}

impl ExternalAccount {
    /// Takes the key as authorities write it: base64url or base64, with or without padding, and a line end behind it.
    pub fn new(kid: &str, key: &[u8]) -> Result<Self, Error> {
        let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let text = key.trim_ascii();
        let alphabet =
            if text.iter().any(|byte| b"+/".contains(byte)) { &alphabet::STANDARD } else { &alphabet::URL_SAFE };
        let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
        // What is wrong with it is not said more closely: it may be a part of the key.
        match GeneralPurpose::new(alphabet, padding).decode_vec(text, &mut decoded) {
            Ok(()) if !decoded.is_empty() && decoded.len() <= LONGEST => Ok(Self { kid: kid.to_owned(), key: decoded }),
            _ => Err(Error::ExternalAccountKey),
        }
    }

    /// The binding of an account's key: its public half, signed with the shared key.
    pub(super) fn bind(&self, key: &SigningKey, url: &str) -> Value {
        let protected = json!({ "alg": "HS256", "kid": self.kid, "url": url });
        let shared = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        flattened(&protected, Some(&key.jwk()), |message| hmac::sign(&shared, message).as_ref().to_vec())
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalAccount({:?}, redacted)", self.kid)
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;
    use crate::bundle::PrivateKey;
    use crate::model::KeyType;

    #[test]
    fn a_key_is_read_in_every_spelling_that_authorities_use() {
        // The last six bits of 62 and 63 are where the alphabets differ.
        let bytes = [0xfb, 0xef, 0xff, 0x01, 0x02];
        for text in ["--__AQI", "--__AQI=", "++//AQI", "++//AQI=", "  --__AQI\r\n"] {
            let account = ExternalAccount::new("kid-1", text.as_bytes()).unwrap();
            assert_eq!(account.key.as_slice(), bytes, "{text:?}");
        }
        for text in ["", "\n", "not base64!", "+-AA", "a b c"] {
            assert!(matches!(ExternalAccount::new("k", text.as_bytes()), Err(Error::ExternalAccountKey)), "{text:?}");
        }
        assert!(ExternalAccount::new("k", "A".repeat(4 * LONGEST).as_bytes()).is_err());
    }

    #[test]
    fn a_binding_verifies_with_the_shared_key_and_never_shows_it() {
        let account = ExternalAccount::new("kid-1", b"c2VjcmV0LXNlY3JldA").unwrap();
        assert_eq!(format!("{account:?}"), "ExternalAccount(\"kid-1\", redacted)");
        let key = SigningKey::of(&PrivateKey::generate(KeyType::EcdsaP256).unwrap()).unwrap();
        let bound = account.bind(&key, "https://ca.test/new");
        let part = |name: &str| bound[name].as_str().unwrap().to_owned();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let protected: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap();
        assert_eq!(protected, json!({ "alg": "HS256", "kid": "kid-1", "url": "https://ca.test/new" }));
        assert_eq!(serde_json::from_slice::<Value>(&decode(&part("payload"))).unwrap(), key.jwk());
        let shared = hmac::Key::new(hmac::HMAC_SHA256, b"secret-secret");
        let message = format!("{}.{}", part("protected"), part("payload"));
        hmac::verify(&shared, message.as_bytes(), &decode(&part("signature"))).unwrap();
    }
}
