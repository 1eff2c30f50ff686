//! What of the page is shown: the part of its address after the question mark.

use std::fmt;

use crate::observe::overview::{Certificate, Span, Tone};

/// Longest search, in characters: longer than any DNS name.
const SEARCH: usize = 300;

/// What somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Part of the name of a certificate, of a name that it covers, of its serial number or its issuer; in lower case.
    pub search: String,
    /// Only what needs a look.
    pub only_look: bool,
    /// How much time the time line shows.
    pub span: Span,
    /// Which page, from 1.
    pub page: usize,
}

/// Each span with its word in addresses, and for people.
pub(super) const SPANS: [(Span, &str, &str); 4] = [
    (Span::Fit, "fit", "longest lifetime"),
    (Span::Weeks, "weeks", "days"),
    (Span::Months, "months", "months"),
    (Span::Years, "years", "a year"),
];

impl Query {
    /// Reads the query of an address; what is not understood is as if it were not there.
    #[must_use]
    pub fn read(query: Option<&str>) -> Self {
        let mut read = Self { page: 1, ..Self::default() };
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "q" => read.search = value.trim().chars().take(SEARCH).collect::<String>().to_lowercase(),
                "show" => read.only_look = value == "look",
                "span" => {
                    read.span = SPANS.iter().find(|(_, word, _)| *word == value).map_or(Span::Fit, |found| found.0);
                }
                "page" => read.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        read
    }

    /// The same, at another page.
    pub(super) fn at(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// Whether a certificate is wanted.
    #[must_use]
    pub fn wants(&self, certificate: &Certificate) -> bool {
        if self.only_look && certificate.tone == Tone::Good {
            return false;
        }
        let has = |text: &str| text.to_lowercase().contains(&self.search);
        self.search.is_empty()
            || has(&certificate.name)
            || certificate.domains.iter().any(|name| has(name))
            || certificate.serial.as_deref().is_some_and(has)
            || certificate.issuer.as_deref().is_some_and(has)
            || certificate.served.iter().any(|served| has(&served.node))
    }
}

/// As it stands in an address, with the question mark.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            pairs.append_pair("q", &self.search);
        }
        if self.only_look {
            pairs.append_pair("show", "look");
        }
        if let Some((_, word, _)) = SPANS.iter().find(|(span, ..)| *span == self.span && *span != Span::Fit) {
            pairs.append_pair("span", word);
        }
        if self.page > 1 {
            pairs.append_pair("page", &self.page.to_string());
        }
        write!(f, "?{}", pairs.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_reads_what_it_writes_and_bears_nonsense() {
        let query = Query { search: "a&b=ü \"".to_owned(), only_look: true, span: Span::Weeks, page: 7 };
        assert_eq!(Query::read(query.to_string().strip_prefix('?')), query);
        for nonsense in ["page=-1", "page=0&span=x&show=&&=&%", "page=99999999999999999999", "%ff%fe"] {
            assert_eq!(Query::read(Some(nonsense)), Query { page: 1, ..Query::default() }, "{nonsense}");
        }
    }
}
