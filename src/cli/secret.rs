//! Bytes with a private key in them, on their way through the control socket: base64 in JSON, with no copy left behind.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};
use zeroize::Zeroizing;

pub(super) fn serialize<S: Serializer>(bytes: &Zeroizing<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(BASE64_STANDARD.encode(bytes)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    deserializer.deserialize_str(Text)
}

/// Base64 has nothing that JSON escapes, so the text is seen where it lies, and not copied.
struct Text;

impl Visitor<'_> for Text {
    type Value = Zeroizing<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // What does not decode is not repeated: it may be a part of a key.
        BASE64_STANDARD.decode(text).map(Zeroizing::new).map_err(|_| E::custom("not base64"))
    }
}
