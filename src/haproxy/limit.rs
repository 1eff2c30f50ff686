//! How long a command may be.
//!
//! A command of exactly one buffer makes 2.6 and 2.8 spin until their watchdog *aborts* the process, and hangs 3.5. So sizes are
//! judged before anything is written, with a margin on both sides of the buffer.

use super::info::Version;
use crate::model::{Facts, Slot};

/// Bytes that stay free around the size of a buffer. The pool shows that size rounded up by at most 15, and a command may not
/// even come near it.
const MARGIN: usize = 64;

/// What a description takes beside the names: the slot and the fields of a fixed size.
const DESCRIPTION: usize = 1024;

/// What each intermediate takes in a description: two names of 256 bytes, the most that are shown.
const DESCRIBED_ISSUER: usize = 2 * (256 + 16);

/// `tune.cli.max-payload-size` when it is not set; what is set cannot be asked for.
const DEFAULT_MAX_PAYLOAD: usize = 128 * 1024;

/// The longest command that a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimit {
    /// Size of a buffer, `tune.bufsize`, in bytes.
    pub bufsize: usize,
    /// Whether a payload may be longer than a buffer (3.4).
    pub long_payloads: bool,
    /// Major and minor number of the version, for messages.
    pub branch: (u16, u16),
}

/// A command is longer than a worker takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it takes {size} bytes on the runtime API, and HAProxy {}.{} with {setting} = {} takes {limit} at most",
    .branch.0, .branch.1, .limit + MARGIN + 1
)]
pub struct TooLarge {
    /// Major and minor number of the version.
    pub branch: (u16, u16),
    /// Size of the whole command, in bytes.
    pub size: usize,
    /// The most that can be sent, in bytes.
    pub limit: usize,
    /// The setting of the `global` section that raises it.
    pub setting: &'static str,
    /// The smallest power of two that is enough for it.
    pub suggested: usize,
}

impl TooLarge {
    /// The line that cures it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!(
            "set `{} {}` in the global section of HAProxy's configuration, and reload it",
            self.setting, self.suggested
        )
    }
}

/// What is done about a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fits,
    /// It would be about as long as a buffer: so many bytes of comment make it longer.
    Pad(usize),
}

impl PayloadLimit {
    pub(super) fn of(version: &Version, bufsize: usize) -> Self {
        Self { bufsize, long_payloads: version.branch >= (3, 4), branch: version.branch }
    }

    /// Reads the size of a buffer from `show pools`.
    pub(super) fn bufsize(show_pools: &str) -> Option<usize> {
        let (_, rest) = show_pools.split_once("- Pool buffer (")?;
        rest.split([' ', ')']).next()?.parse().ok()
    }

    /// Whether `show ssl cert` of a certificate stays below a buffer.
    pub(super) fn judge_description(&self, slot: &Slot, facts: &Facts) -> Result<(), TooLarge> {
        let names: usize = facts.names.iter().map(|name| "DNS:, ".len() + name.to_string().len()).sum();
        let size = DESCRIPTION + slot.as_str().len() + names + facts.chain_length * DESCRIBED_ISSUER;
        let below = self.bufsize.saturating_sub(MARGIN);
        if size < below { Ok(()) } else { Err(self.below_a_buffer(size)) }
    }

    /// Judges a command of `line` bytes and a payload of `payload` bytes, each with its line end; a PEM can be padded.
    pub(super) fn judge(&self, line: usize, payload: usize, is_pem: bool) -> Result<Verdict, TooLarge> {
        let size = line + payload;
        let below = self.bufsize.saturating_sub(MARGIN);
        if size < below {
            return Ok(Verdict::Fits);
        }
        if !(self.long_payloads && is_pem && line < below) {
            return Err(self.below_a_buffer(size));
        }
        let above = self.bufsize + MARGIN;
        let padding = above.saturating_sub(size);
        let most = DEFAULT_MAX_PAYLOAD.saturating_sub(MARGIN + 1);
        if payload + padding > most {
            return Err(self.too_large(size, DEFAULT_MAX_PAYLOAD, "tune.cli.max-payload-size"));
        }
        Ok(if padding == 0 { Verdict::Fits } else { Verdict::Pad(padding) })
    }

    fn below_a_buffer(&self, size: usize) -> TooLarge {
        self.too_large(size, self.bufsize, "tune.bufsize")
    }

    fn too_large(&self, size: usize, value: usize, setting: &'static str) -> TooLarge {
        let suggested = (size + MARGIN + 1).next_power_of_two();
        TooLarge { branch: self.branch, size, limit: value.saturating_sub(MARGIN + 1), setting, suggested }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(version: &str) -> PayloadLimit {
        PayloadLimit::of(&version.parse().unwrap(), 16384)
    }

    #[test]
    fn below_3_4_nothing_within_the_margin_of_a_buffer_is_sent() {
        for version in ["2.6.12", "2.8.25", "3.0.11", "3.2.26", "3.3.0"] {
            assert_eq!(limit(version).judge(100, 16384 - 64 - 101, true), Ok(Verdict::Fits));
            for size in 16384 - 64..16384 + 200 {
                let refused = limit(version).judge(100, size - 100, true).unwrap_err();
                assert_eq!(
                    (refused.size, refused.limit, refused.suggested),
                    (size, 16319, 32768.max(refused.suggested))
                );
            }
        }
    }

    #[test]
    fn from_3_4_a_pem_about_as_long_as_a_buffer_is_padded() {
        let limit = limit("3.4.1");
        assert_eq!(limit.judge(100, 16219, true), Ok(Verdict::Fits));
        assert_eq!(limit.judge(100, 16220, true), Ok(Verdict::Pad(128)));
        assert_eq!(limit.judge(100, 16384 - 100, true), Ok(Verdict::Pad(64)));
        assert_eq!(limit.judge(100, 16384 + 64 - 100, true), Ok(Verdict::Fits));
        assert_eq!(limit.judge(100, 131_072 - 65, true), Ok(Verdict::Fits));
        let refused = limit.judge(100, 131_072 - 64, true).unwrap_err();
        assert_eq!((refused.setting, refused.suggested), ("tune.cli.max-payload-size", 262_144));
        assert!(limit.judge(16384, 0, false).is_err());
        assert!(limit.judge(16384, 100, true).is_err());
    }

    #[test]
    fn the_hint_is_a_line_of_configuration() {
        let refused = limit("2.6.12").judge(100, 16500, true).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it takes 16600 bytes on the runtime API, and HAProxy 2.6 with tune.bufsize = 16384 takes 16319 at most"
        );
        assert_eq!(
            refused.hint(),
            "set `tune.bufsize 32768` in the global section of HAProxy's configuration, and reload it"
        );
    }

    #[test]
    fn the_size_of_a_buffer_is_read_from_the_pools() {
        let old = "Dumping pools usage\n  - Pool cache (16 bytes) : 1\n  - Pool buffer (20016 bytes) : 4 allocated (80064 bytes)\n";
        assert_eq!(PayloadLimit::bufsize(old), Some(20016));
        assert_eq!(PayloadLimit::bufsize("  - Pool buffer (16384 bytes/64) : 4"), Some(16384));
        assert_eq!(PayloadLimit::bufsize("  - Pool large_buffer (1 bytes) : 4"), None);
    }
}
