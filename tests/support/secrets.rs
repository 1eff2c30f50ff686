//! Looks for the secret part of private keys, in whatever form it may have got out.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::hex;

/// Bytes that are looked for at once: nobody has them by chance.
const PIECE: usize = 16;
/// Distance of the pieces: whatever holds a piece and this much more of a key is found.
const STRIDE: usize = 8;

/// The secret part of one private key.
#[derive(Clone)]
pub struct Secret {
    name: String,
    raw: Vec<String>,
    text: Vec<String>,
}

impl Secret {
    /// Takes the secret of a PKCS #8 key in PEM; the rest of it is public, and stands in certificates too.
    pub fn of(name: &str, pem: &str) -> Self {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64_STANDARD.decode(body).expect("a key is base64");
        // ECPrivateKey (RFC 5915): version 1, then 32 or 48 octets. Of an RSA key, the primes stand in the second half.
        let of_length = |length: u8| Some((der.windows(5).position(|window| window == [2, 1, 1, 4, length])?, length));
        let elliptic = of_length(32).or_else(|| of_length(48));
        let elliptic = elliptic.map(|(at, length)| der.get(at + 5..at + 5 + usize::from(length)));
        let secret = elliptic.unwrap_or(der.get(der.len() / 2..)).expect("a whole key");
        Self::of_bytes(name, secret)
    }

    /// Takes a secret that is nothing but bytes.
    pub fn of_bytes(name: &str, secret: &[u8]) -> Self {
        let (mut raw, mut text) = (Vec::new(), Vec::new());
        for piece in secret.windows(PIECE).step_by(STRIDE) {
            raw.push(latin1(piece));
            text.push(hex(piece));
            text.push(hex(piece).to_uppercase());
            for skipped in 0..3 {
                // What depends on neighbours, at both ends, is left out.
                let whole = piece.get(skipped..).unwrap_or_default();
                text.push(BASE64_STANDARD.encode(whole.get(..whole.len() / 3 * 3).unwrap_or_default()));
            }
        }
        Self { name: name.to_owned(), raw, text }
    }

    /// Whether some of it is there: as it is, hexadecimal, or in base64, of either alphabet and broken into lines or not.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let raw = latin1(bytes);
        let plain: String = raw.chars().filter(|char| !char.is_whitespace() && *char != ':').collect();
        let plain = plain.replace("\\n", "").replace('-', "+").replace('_', "/");
        self.raw.iter().any(|piece| raw.contains(piece)) || self.text.iter().any(|piece| plain.contains(piece))
    }
}

/// Fails the test if one of the secrets is there.
pub fn expect_none(secrets: &[Secret], place: &str, bytes: &[u8]) {
    let found: Vec<_> = secrets.iter().filter(|secret| secret.is_in(bytes)).map(|secret| &secret.name).collect();
    assert!(found.is_empty(), "{place} has the secret of {found:?}");
}

/// Every file below a directory; none where it does not exist.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Each byte as one character, so that bytes are searched like text.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
