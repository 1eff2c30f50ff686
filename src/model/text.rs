//! The taming of text that somebody else chose: a server, the DNS, whoever signed a certificate.

/// Longest text of a server that we keep, in characters: room for the link by which Let's Encrypt lets a person end a pause,
/// which contains a signed token.
const SHOWN: usize = 2000;

/// A server's text for people and logs: one line, without control characters, of bounded length.
pub(crate) fn sanitised(text: &str) -> String {
    printable(text, SHOWN)
}

/// A foreign text for people and logs: one line, without what could drive a terminal, and of at most so many characters.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut plain =
        text.chars().map(|letter| if letter.is_whitespace() { ' ' } else { letter }).filter(|letter| is_plain(*letter));
    let mut out: String = plain.by_ref().take(most).collect();
    if plain.next().is_some() {
        out.push('…');
    }
    out
}

/// Neither a control character nor one that reorders or hides text (Unicode, section 23.2: bidirectional controls, and other
/// characters that are not seen).
pub(crate) fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_drive_a_terminal_nor_flood_it() {
        assert_eq!(sanitised("a\u{1b}[31mb\r\nc\u{202e}d\0\u{2066}\u{feff}"), "a[31mb  cd");
        assert_eq!(sanitised(&"x".repeat(5000)).chars().count(), SHOWN + 1);
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("abcd", 3), "abc…");
        assert_eq!(printable("bücher, 名", 20), "bücher, 名");
    }
}
