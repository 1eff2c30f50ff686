//! What differs between versions of HAProxy, as far as its runtime API shows it.

use super::super::HaproxyVersion;

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// As `show info` tells it.
    pub text: String,
    /// Major and minor number.
    pub branch: (u16, u16),
}

impl Profile {
    /// A version by its name, such as `2.6.12-1+deb12u3`.
    pub fn named(text: &str) -> Self {
        let mut numbers = text.split(['.', '-']).map(|number| number.parse().expect("a version begins with numbers"));
        let branch = (numbers.next().expect("a major number"), numbers.next().expect("a minor number"));
        Self { text: text.to_owned(), branch }
    }

    /// A `set` goes into whatever transaction is open.
    pub fn sets_into_any_transaction(&self) -> bool {
        self.branch < (2, 8)
    }

    /// `set` takes `.crt` for the part of a certificate.
    pub fn crt_is_a_suffix(&self) -> bool {
        (2, 6) <= self.branch && self.branch < (2, 8)
    }

    /// `show info` says when it started.
    pub fn tells_its_start(&self) -> bool {
        self.branch >= (2, 4)
    }

    /// What OpenSSL says of a PEM is in the answer.
    pub fn tells_what_openssl_says(&self) -> bool {
        self.branch >= (2, 8)
    }

    /// Some refusals end with one line more.
    pub fn ends_refusals_twice(&self) -> bool {
        self.branch < (2, 8)
    }

    /// A command of just one buffer makes it spin until its watchdog ends it.
    pub fn dies_of_a_full_buffer(&self) -> bool {
        self.branch < (3, 0)
    }

    /// What is answered before a connection is closed because of a command that is too long.
    pub fn too_big(&self) -> &'static str {
        match self.branch {
            old if old < (2, 8) => "",
            old if old < (3, 2) => TOO_BIG,
            _ => TOO_BIG_LINE,
        }
    }

    /// A line of a payload is answered by `+ `, in prompt mode.
    pub fn echoes_payloads(&self) -> bool {
        self.branch <= (3, 0)
    }

    /// The command that is unknown is repeated.
    pub fn repeats_what_is_unknown(&self) -> bool {
        self.branch >= (2, 8)
    }

    /// A message of `set ssl cert` lacks a quote.
    pub fn forgets_a_quote(&self) -> bool {
        self.branch < (3, 0)
    }

    /// `show ssl sni`; the files of a certificate, and `Uncommitted`, in its description.
    pub fn shows_more(&self) -> bool {
        self.branch >= (3, 2)
    }

    /// What a directory takes must lie right below it.
    pub fn keeps_directories_flat(&self) -> bool {
        self.branch < (3, 2)
    }

    /// Certificates can be made and attached at runtime.
    pub fn makes_certificates(&self) -> bool {
        self.branch >= (2, 2)
    }
}

impl From<HaproxyVersion> for Profile {
    fn from(version: HaproxyVersion) -> Self {
        Self::named(match version {
            HaproxyVersion::V2_6 => "2.6.12-1+deb12u3",
            HaproxyVersion::V2_8 => "2.8.25-5cf5d0683",
            HaproxyVersion::V3_0 => "3.0.11-1+deb13u3",
            HaproxyVersion::V3_2 => "3.2.26-1",
        })
    }
}

const TOO_BIG: &str = "The command is too big for the buffer size. Please change tune.bufsize in the configuration to use a bigger command.\n";
const TOO_BIG_LINE: &str = "The command line is too big for the buffer size. Please change tune.bufsize in the configuration to use a bigger command line.\n";
