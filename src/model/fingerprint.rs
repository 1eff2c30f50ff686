//! Fingerprints and serial numbers, printed as lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// A digest of `N` bytes over a certificate's DER encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint<const N: usize>([u8; N]);

/// SHA-1, the only fingerprint that `HAProxy` shows (`show ssl cert`). Used to recognise, never to trust.
pub type Sha1 = Fingerprint<20>;

/// SHA-256, what people and tools compare.
pub type Sha256 = Fingerprint<32>;

impl Sha1 {
    /// Computes the SHA-1 fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der)
    }
}

impl Sha256 {
    /// Computes the SHA-256 fingerprint of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        digest(&aws_lc_rs::digest::SHA256, der)
    }
}

fn digest<const N: usize>(algorithm: &'static aws_lc_rs::digest::Algorithm, der: &[u8]) -> Fingerprint<N> {
    let digest = aws_lc_rs::digest::digest(algorithm, der);
    Fingerprint(digest.as_ref().try_into().expect("the digest has the length of its fingerprint type"))
}

impl<const N: usize> fmt::Display for Fingerprint<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Fingerprint<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Fingerprint<N> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        unhex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| Invalid::new("fingerprint", text, "wrong length, or not hexadecimal"))
    }
}

/// A certificate's serial number (RFC 5280, section 4.1.2.2), without leading zero bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Takes the big-endian bytes of the number.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes[zeros.min(bytes.len().saturating_sub(1))..].to_vec())
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        unhex(text)
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| Invalid::new("serial number", text, "not hexadecimal"))
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

impl<const N: usize> serde::Serialize for Fingerprint<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> serde::Deserialize<'de> for Fingerprint<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

serde_as_text!(Serial);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let print = Sha1::of(b"certificate");
        assert_eq!(print.to_string().parse(), Ok(print));
        assert_eq!(print.to_string().to_uppercase().parse(), Ok(print));
        assert!("abc".parse::<Sha1>().is_err());
    }

    #[test]
    fn a_serial_ignores_leading_zero_bytes() {
        let serial: Serial = "0004AB".parse().unwrap();
        assert_eq!(serial.to_string(), "04ab");
        assert_eq!(Serial::from_bytes(&[0]).to_string(), "00");
        assert!("".parse::<Serial>().is_err());
        assert!("é".parse::<Serial>().is_err());
    }
}
