//! What a record of the DNS says of an authority.

/// The value of a CAA record (RFC 8659, section 4.2), and of a record that stays (draft-ietf-acme-dns-persist): an authority, by its
/// domain, and parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueValue<'a> {
    /// The domain of the authority; empty for none.
    pub authority: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> IssueValue<'a> {
    /// `None` for a text that is against the grammar, as one with an empty parameter is, or a space in one.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (authority, rest) = text.split_once(';').unwrap_or((text, ""));
        let parameters = match trimmed(rest) {
            "" => Vec::new(),
            rest => rest.split(';').map(parameter).collect::<Option<_>>()?,
        };
        Some(Self { authority: trimmed(authority), parameters })
    }

    /// Whether it names an authority that goes by these domains.
    #[must_use]
    pub fn names_one_of(&self, authorities: &[String]) -> bool {
        authorities.iter().any(|authority| authority.eq_ignore_ascii_case(self.authority))
    }

    /// The value of the first parameter of this tag, in whatever case that is written.
    #[must_use]
    pub fn parameter(&self, tag: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(found, _)| found.eq_ignore_ascii_case(tag)).map(|(_, value)| *value)
    }
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trimmed(tag), trimmed(value));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (!tag.is_empty() && is_plain(tag) && is_plain(value)).then_some((tag, value))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
