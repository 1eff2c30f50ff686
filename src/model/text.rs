//! The taming of text that somebody else chose: a server, the DNS.

/// Longest text of a server that we keep, in characters: room for the link by which Let's Encrypt lets a person end a pause,
/// which contains a signed token.
const SHOWN: usize = 2000;

/// A server's text for people and logs: one line, without control characters, of bounded length.
pub(crate) fn sanitised(text: &str) -> String {
    let mut out: String = text
        .chars()
        .map(|letter| if letter.is_whitespace() { ' ' } else { letter })
        .filter(|letter| is_plain(*letter))
        .take(SHOWN)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// Neither a control character nor one that reorders or hides text (Unicode, section 23.2: bidirectional controls).
fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_server_cannot_drive_a_terminal_nor_flood_it() {
        assert_eq!(sanitised("a\u{1b}[31mb\r\nc\u{202e}d\0"), "a[31mb  cd");
        assert_eq!(sanitised(&"x".repeat(5000)).chars().count(), SHOWN + 1);
    }
}
