//! Entries of lists: when two of them are the same, and what is to be done about one that is no longer wanted.

use std::fmt;

use super::Attachment;

/// An entry that was made for a certificate, and in the place of which another one belongs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// The entry, as it was made.
    pub from: Attachment,
    /// Whether the running `HAProxy` has it.
    pub in_memory: bool,
    /// Whether the crt-list file has it.
    pub in_file: bool,
}

impl Attachment {
    /// The words between the brackets of its options.
    #[must_use]
    pub fn option_words(&self) -> Vec<String> {
        let text = self.options.as_deref().unwrap_or_default().trim();
        words(text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text))
    }

    /// Whether it has neither options nor filters, so that any entry of the slot will do.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.filters.is_empty() && self.option_words().is_empty()
    }

    /// Whether it is the entry that `HAProxy` lists with these options, without brackets, and filters. `HAProxy` has an order of
    /// its own for options.
    #[must_use]
    pub fn is_listed_as(&self, options: &str, filters: &[String]) -> bool {
        let sorted = |mut words: Vec<String>| {
            words.sort_unstable();
            words
        };
        self.filters == filters && sorted(self.option_words()) == sorted(words(options))
    }

    /// Whether both mean one entry of one list.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.list == other.list && self.is_listed_as(&other.option_words().join(" "), &other.filters)
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.directory { "directory" } else { "crt-list" };
        write!(f, "{kind} {}", self.list)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(options: Option<&str>, filters: &[&str]) -> Attachment {
        Attachment {
            list: "/l".to_owned(),
            directory: false,
            options: options.map(str::to_owned),
            filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
        }
    }

    #[test]
    fn an_entry_is_told_by_its_options_in_any_order_and_its_filters() {
        let one = entry(Some("[ssl-min-ver TLSv1.2  alpn h2,http/1.1 ]"), &["a.test"]);
        assert!(one.is_listed_as("alpn h2,http/1.1 ssl-min-ver TLSv1.2", &["a.test".to_owned()]));
        assert!(!one.is_listed_as("alpn h2,http/1.1 ssl-min-ver TLSv1.2", &[]));
        assert!(!one.is_listed_as("alpn h2 ssl-min-ver TLSv1.2", &["a.test".to_owned()]));
        assert!(one.is_same(&entry(Some("[alpn h2,http/1.1 ssl-min-ver TLSv1.2]"), &["a.test"])));
        assert!(entry(None, &[]).is_plain() && entry(Some("[ ]"), &[]).is_plain() && !one.is_plain());
    }
}
