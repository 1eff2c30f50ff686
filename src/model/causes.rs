//! Errors in words, with what caused them.

use std::error::Error;

/// The causes of an error, from the outermost to the innermost. Some libraries repeat the text of their source in their own: what was
/// said just before is left out.
#[must_use]
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !causes.last().is_some_and(|last| last.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

/// An error and its causes, on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&'static str]) -> Option<Box<Told>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Told { text, source: told(rest) }))
    }

    #[test]
    fn each_cause_is_told_once() {
        let error = told(&["cannot read", "open /a: denied", "denied", "os error 13"]).unwrap();
        assert_eq!(causes(&*error), ["open /a: denied", "os error 13"]);
        assert_eq!(chain(&*error), "cannot read: open /a: denied: os error 13");
        assert_eq!(chain(&*told(&["refused: no", "no"]).unwrap()), "refused: no");
    }
}
