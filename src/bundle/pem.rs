//! PEM blocks (RFC 7468): tolerant to what surrounds them, strict about what is in them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::model::printable;

/// One block of a file.
pub(super) struct Block {
    /// The label, such as `CERTIFICATE`.
    pub(super) label: String,
    /// The decoded contents; wiped on drop, for it may be a key.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Whether the block is encrypted, by its label or by its `Proc-Type` header (RFC 1421, section 4.6.1.1).
    pub(super) encrypted: bool,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
}

/// What [`blocks`] found, with remarks on what it passed over.
pub(super) struct Scan {
    pub(super) blocks: Vec<Block>,
    pub(super) blank_lines: bool,
    pub(super) carriage_returns: bool,
    pub(super) text_around: bool,
}

/// Why a text is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is not text.
    #[error("it is binary data, not PEM; convert DER by `openssl x509 -inform der`")]
    Binary,
    /// It is text without a single block.
    #[error("it has no `-----BEGIN …-----` line")]
    NoBlock,
    /// A block begins and does not end.
    #[error("the block of line {line} ({label}) is cut off: its `-----END {label}-----` line is missing")]
    CutOff {
        /// The line of its beginning, from 1.
        line: usize,
        /// Its label.
        label: String,
    },
    /// The contents of a block are not base64.
    #[error("the block of line {line} ({label}) is not valid base64")]
    Base64 {
        /// The line of its beginning, from 1.
        line: usize,
        /// Its label.
        label: String,
    },
    /// More than anyone needs.
    #[error("it is longer than {limit} bytes, the most that is read")]
    TooLong {
        /// The bound in bytes.
        limit: usize,
    },
}

/// Longest label that is kept, in characters: those in use have up to 28.
const LABEL_SHOWN: usize = 64;

/// The most that is read of a file or an answer, in bytes. A leaf with 100 names, a long chain and an RSA key has about 20 kB.
pub const MAX_INPUT: usize = 1024 * 1024;

/// Finds the blocks of a text.
pub(super) fn blocks(input: &[u8]) -> Result<Scan, Malformed> {
    if input.len() > MAX_INPUT {
        return Err(Malformed::TooLong { limit: MAX_INPUT });
    }
    if input.iter().all(u8::is_ascii_whitespace) {
        return Err(Malformed::Empty);
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return Err(Malformed::Binary);
    };
    if text.contains('\0') {
        return Err(Malformed::Binary);
    }

    let mut scan =
        Scan { blocks: Vec::new(), blank_lines: false, carriage_returns: text.contains('\r'), text_around: false };
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if let Some(label) = marker(line, "BEGIN") {
            scan.blocks.push(block(number + 1, label, &mut lines)?);
        } else if line.is_empty() {
            scan.blank_lines = true;
        } else {
            scan.text_around = true;
        }
    }
    if scan.blocks.is_empty() {
        return Err(Malformed::NoBlock);
    }
    Ok(scan)
}

/// Reads a block up to its end line.
fn block<'a>(line: usize, label: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<Block, Malformed> {
    let mut base64 = Zeroizing::new(String::new());
    let mut encrypted = label == "ENCRYPTED PRIVATE KEY";
    let shown = || printable(label, LABEL_SHOWN);
    for (_, text) in lines {
        let text = text.trim();
        if marker(text, "END") == Some(label) {
            // Headers of encrypted keys (a vector, a cipher name) are no base64, and there is nothing to decode without the pass phrase.
            let der = if encrypted { Ok(Vec::new()) } else { BASE64_STANDARD.decode(base64.as_bytes()) };
            return der.map_or_else(
                |_| Err(Malformed::Base64 { line, label: shown() }),
                |der| Ok(Block { label: shown(), der: Zeroizing::new(der), encrypted, line }),
            );
        }
        if text.starts_with("-----") {
            break;
        }
        if text.starts_with("Proc-Type:") && text.contains("ENCRYPTED") {
            encrypted = true;
        } else if !text.contains(':') {
            base64.push_str(text);
        }
    }
    Err(Malformed::CutOff { line, label: shown() })
}

/// The label of a `-----BEGIN label-----` line.
fn marker<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_suffix("-----")?.strip_prefix(kind)?.strip_prefix(' ')
}

/// One certificate as a PEM block, LF at the end of each line.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// One block with 64 characters a line (RFC 7468, section 2).
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut out = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}
