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
    /// `None` for a text that is against the grammar.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(trimmed);
        let authority = parts.next()?;
        let parameters = parts.filter(|part| !part.is_empty()).map(|part| {
            let (tag, value) = part.split_once('=')?;
            Some((trimmed(tag), trimmed(value)))
        });
        Some(Self { authority, parameters: parameters.collect::<Option<_>>()? })
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

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
