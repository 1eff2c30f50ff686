//! Keys of TLS session tickets (RFC 5077, section 4): never printed, wiped when dropped.
//!
//! `HAProxy` holds three: the last but one encrypts, and all decrypt (configuration manual, `tls-ticket-keys`). So a key waits for
//! one rotation before it encrypts, and when it does every node has it; it encrypts for one, decrypts for one more, and is gone.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// One key: a name of 16 bytes, and keys for AES and HMAC of 16 or 32 bytes each.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey(Zeroizing<Vec<u8>>);

/// The keys that every node holds, from the oldest to the newest; the one between encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRing([TicketKey; TicketRing::KEYS]);

/// A file is not one of ticket keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTicketFile {
    /// There are fewer than `HAProxy` starts with.
    #[error("it has {found}, and HAProxy wants at least 3 ticket keys, one a line", found = match .found { 0 => "no key".to_owned(), 1 => "1 key".to_owned(), found => format!("{found} keys") })]
    TooFew {
        /// How many there are.
        found: usize,
    },
    /// A line is something else.
    #[error("line {line}: it is not a ticket key in base64")]
    NotBase64 {
        /// The line, from 1.
        line: usize,
    },
    /// A key is of no size that there is.
    #[error("line {line}: a ticket key has 48 or 80 bytes, and this one {bytes}")]
    Size {
        /// The line, from 1.
        line: usize,
        /// How many it has.
        bytes: usize,
    },
    /// Keys are of different sizes.
    #[error("line {line}: this ticket key has {bytes} bytes, and those before it have {before}")]
    Mixed {
        /// The line, from 1.
        line: usize,
        /// How many it has.
        bytes: usize,
        /// How many the others have.
        before: usize,
    },
}

impl TicketKey {
    /// The sizes that there are, in bytes: for AES-128 and for AES-256.
    const SIZES: [usize; 2] = [48, 80];

    /// Reads what is written in files and on the command line.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let key = Self::decode(text)?;
        Self::SIZES.contains(&key.len()).then_some(key)
    }

    /// The key in base64. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(&*self.0))
    }

    /// Its size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "none is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn generate(bytes: usize, random: impl Fn(&mut [u8])) -> Self {
        let mut key = Zeroizing::new(vec![0; bytes]);
        random(&mut key);
        Self(key)
    }

    fn decode(text: &str) -> Option<Self> {
        // One allocation of the final size: growing would leave copies behind in freed memory.
        let mut key = Zeroizing::new(vec![0; text.len()]);
        let length = BASE64_STANDARD.decode_slice(text, &mut key).ok()?;
        key.truncate(length);
        Some(Self(key))
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(redacted)")
    }
}

impl TicketRing {
    /// How many keys `HAProxy` holds (`TLS_TICKETS_NO`).
    pub const KEYS: usize = 3;

    /// New keys for AES-256; `random` fills bytes that nobody can guess.
    #[must_use]
    pub fn generate(random: impl Fn(&mut [u8])) -> Self {
        Self(std::array::from_fn(|_| TicketKey::generate(TicketKey::SIZES[1], &random)))
    }

    /// Reads a file as `HAProxy` does: of more keys than it holds, the last ones count.
    pub fn parse(text: &str) -> Result<Self, BadTicketFile> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let key = TicketKey::decode(text).ok_or(BadTicketFile::NotBase64 { line })?;
            let bytes = key.len();
            match keys.first().map(TicketKey::len) {
                _ if !TicketKey::SIZES.contains(&bytes) => return Err(BadTicketFile::Size { line, bytes }),
                Some(before) if before != bytes => return Err(BadTicketFile::Mixed { line, bytes, before }),
                _ => keys.push(key),
            }
        }
        let found = keys.len();
        let last = keys.split_off(found.saturating_sub(Self::KEYS));
        last.try_into().map(Self).map_err(|_| BadTicketFile::TooFew { found })
    }

    /// The file for `HAProxy`.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let length = self.0.iter().map(|key| key.len() * 4 / 3 + 4).sum();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for key in &self.0 {
            text.push_str(&key.base64());
            text.push('\n');
        }
        text
    }

    /// The ring with one new key, and without the oldest; `random` fills bytes that nobody can guess.
    #[must_use]
    pub fn rotated(&self, random: impl Fn(&mut [u8])) -> Self {
        let [_, second, third] = &self.0;
        Self([second.clone(), third.clone(), TicketKey::generate(third.len(), random)])
    }

    /// The size of its keys in bytes.
    #[must_use]
    pub fn key_len(&self) -> usize {
        self.0[0].len()
    }

    /// What a node that holds these keys has to be given, in this order, to hold the ring.
    #[must_use]
    pub fn missing_from(&self, held: &[TicketKey]) -> &[TicketKey] {
        let known = (0..=Self::KEYS).rev().find(|count| held.ends_with(&self.0[..*count]));
        &self.0[known.unwrap_or_default()..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(byte: u8, bytes: usize) -> String {
        BASE64_STANDARD.encode(vec![byte; bytes])
    }

    fn file(keys: &[(u8, usize)]) -> String {
        keys.iter().map(|(byte, bytes)| line(*byte, *bytes) + "\n").collect()
    }

    #[test]
    fn a_file_reads_back_as_it_is_written() {
        for bytes in [48, 80] {
            let text = file(&[(1, bytes), (2, bytes), (3, bytes)]);
            let ring = TicketRing::parse(&text).unwrap();
            assert_eq!((ring.text().as_str(), ring.key_len()), (text.as_str(), bytes));
            assert_eq!(TicketRing::parse(text.trim_end()).unwrap(), ring);
            assert_eq!(TicketRing::parse(&text.replace('\n', "\r\n")).unwrap(), ring);
        }
        let more = TicketRing::parse(&file(&[(1, 80), (2, 80), (3, 80), (4, 80), (5, 80)])).unwrap();
        assert_eq!(more.text().as_str(), file(&[(3, 80), (4, 80), (5, 80)]), "the last ones count");
    }

    #[test]
    fn a_file_that_haproxy_would_refuse_is_refused_with_its_line() {
        for (text, expected) in [
            (String::new(), BadTicketFile::TooFew { found: 0 }),
            (file(&[(1, 80), (2, 80)]), BadTicketFile::TooFew { found: 2 }),
            (file(&[(1, 80), (2, 79), (3, 80)]), BadTicketFile::Size { line: 2, bytes: 79 }),
            (file(&[(1, 80), (2, 48), (3, 80)]), BadTicketFile::Mixed { line: 2, bytes: 48, before: 80 }),
            (format!("{}\n# comment\n", line(1, 80)), BadTicketFile::NotBase64 { line: 2 }),
            (format!("{}\n\n{}", line(1, 80), line(2, 80)), BadTicketFile::Size { line: 2, bytes: 0 }),
            (format!(" {}", line(1, 80)), BadTicketFile::NotBase64 { line: 1 }),
        ] {
            assert_eq!(TicketRing::parse(&text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn a_rotation_drops_the_oldest_key_and_adds_a_new_one_of_the_same_size() {
        for bytes in [48, 80] {
            let ring = TicketRing::parse(&file(&[(1, bytes), (2, bytes), (3, bytes)])).unwrap();
            let next = ring.rotated(|key| key.fill(4));
            assert_eq!(next.0[..2], ring.0[1..]);
            assert_eq!(next.0[2].base64().as_str(), line(4, bytes));
        }
    }

    #[test]
    fn what_a_node_misses_ends_in_the_ring_whatever_it_holds() {
        let key = |byte| TicketKey::from_base64(&line(byte, 80)).unwrap();
        let ring = TicketRing([key(3), key(4), key(5)]);
        for (held, count) in [
            (vec![3, 4, 5], 0),
            (vec![2, 3, 4], 1),
            (vec![1, 2, 3], 2),
            (vec![0, 1, 2], 3),
            (vec![4, 5, 6], 3),
            (vec![5, 4, 3], 2),
            (vec![3, 3, 3], 2),
            (vec![], 3),
        ] {
            let held: Vec<_> = held.into_iter().map(key).collect();
            let missing = ring.missing_from(&held);
            assert_eq!(missing.len(), count, "{count}");
            let after: Vec<_> = held.iter().chain(missing).cloned().collect();
            assert!(after.ends_with(&ring.0));
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let ring = TicketRing::generate(|key| key.fill(7));
        assert_eq!(ring.key_len(), 80);
        assert!(!format!("{ring:?}").chars().any(|char| char.is_ascii_digit()), "{ring:?}");
    }
}
