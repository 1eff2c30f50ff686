//! The words of a command beside a [`Slot`](crate::model::Slot): each stays one word, whatever it contains.

use std::fmt;
use std::str::FromStr;

use crate::model::Invalid;

/// Longest word, in bytes; as for a slot.
const MAX_WORD: usize = 1024;

/// Longest options text, in bytes; far beyond every `bind` keyword that a crt-list line takes together.
const MAX_OPTIONS: usize = 4096;

/// Why a text could be more, or other, than one word of one command; `None` when it is one word.
fn unfit(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > MAX_WORD {
        Some("it is longer than 1024 bytes")
    } else if text.contains("<<") {
        Some("`<<` starts a payload on HAProxy's command line")
    } else if text.starts_with('#') {
        Some("a leading `#` starts a comment in a crt-list, and is a reference on HAProxy's command line")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b";\\\"'".contains(&byte)) {
        Some("blanks, quotes, `;`, `\\`, control and non-ASCII characters are not allowed")
    } else {
        None
    }
}

macro_rules! word {
    ($(#[$doc:meta])* $type:ident, $what:literal, $also:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The word as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let also: fn(&str) -> Option<&'static str> = $also;
                match unfit(text).or_else(|| also(text)) {
                    Some(reason) => Err(Invalid::new($what, text, reason)),
                    None => Ok(Self(text.to_owned())),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// A map: its file, or `virt@NAME` (3.0+). A leading `@` would be a map version (management guide, `add map`).
    Map,
    "HAProxy map",
    |text| text.starts_with('@').then_some("a leading `@` is a version on HAProxy's command line")
);

word!(
    /// A key or a value of a [`Map`].
    Word,
    "HAProxy map entry",
    |_| None
);

word!(
    /// An SNI filter of a crt-list line: a name, a wildcard, or either after `!` (configuration manual, `crt-list`).
    Filter,
    "SNI filter",
    |text| {
        let name = text.strip_prefix('!').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        (name.is_empty() || !name.bytes().all(fits)).then_some("write example.org, *.example.org or !www.example.org")
    }
);

/// The options of a crt-list line, without their brackets: `alpn h2,http/1.1` (configuration manual, `crt-list`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Options(String);

impl Options {
    /// The options as text, without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Options {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("crt-list options", text, reason));
        let trimmed = text.trim_matches(' ');
        let inner = match (trimmed.strip_prefix('['), trimmed.strip_suffix(']')) {
            (Some(_), Some(_)) if trimmed.len() >= 2 => trimmed[1..trimmed.len() - 1].trim_matches(' '),
            (None, None) => trimmed,
            _ => return refuse("the brackets do not match"),
        };
        if inner.is_empty() {
            return refuse("it is empty; leave it out");
        }
        if inner.len() > MAX_OPTIONS {
            return refuse("it is longer than 4096 bytes");
        }
        if inner.contains("<<") {
            return refuse("`<<` starts a payload on HAProxy's command line");
        }
        if !inner.bytes().all(|byte| byte == b' ' || (byte.is_ascii_graphic() && !b";\\\"'#[]".contains(&byte))) {
            return refuse("quotes, `;`, `\\`, `#`, brackets, control and non-ASCII characters are not allowed");
        }
        Ok(Self(inner.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")))
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_not_one_word_is_refused() {
        for bad in ["", "a b", "a\nb", "a;b", "a\\", "<<", "a<<", "#1", "a'b", "é", "a\0", "\t"] {
            assert!(bad.parse::<Map>().is_err(), "{bad:?}");
            assert!(bad.parse::<Word>().is_err(), "{bad:?}");
            assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
        }
        assert!("@1".parse::<Map>().is_err());
        assert!("virt@acme".parse::<Map>().is_ok());
        assert!("[a".parse::<Filter>().is_err());
        assert!("!*.a.test".parse::<Filter>().is_ok());
    }

    #[test]
    fn options_are_the_same_with_and_without_brackets() {
        let options: Options = " [alpn  h2,http/1.1 ] ".parse().unwrap();
        assert_eq!(options.as_str(), "alpn h2,http/1.1");
        assert_eq!(options, "alpn h2,http/1.1".parse().unwrap());
        assert_eq!(options.to_string(), "[alpn h2,http/1.1]");
        for bad in ["", "[]", "[a", "a]", "[", "]", "a] b [c", "a\nb", "a <<", "a;b", "a # b"] {
            assert!(bad.parse::<Options>().is_err(), "{bad:?}");
        }
    }
}
