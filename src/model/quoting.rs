//! Words of `HAProxy`'s configuration, as they are written there (configuration manual, section 2.2).

/// A word of a line; plain where that is enough, else in double quotes.
#[must_use]
pub fn quoted_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\#$".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' | '$' => out.extend(['\\', letter]),
            // A line ends at a line feed, and nobody sees what else drives a terminal.
            control if control.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// An argument of a sample fetch or of a converter, which has quotes of its own within the word that it is a part of.
#[must_use]
pub fn quoted_argument(argument: &str) -> String {
    if !argument.contains(['"', '\'', '\\', ',', '(', ')']) {
        return argument.to_owned();
    }
    // Within single quotes nothing is special but their end.
    format!("'{}'", argument.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_has_to_be() {
        for (word, written) in [
            ("/etc/haproxy/a.map", "/etc/haproxy/a.map"),
            ("virt@a,b(c)=[x]", "virt@a,b(c)=[x]"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a#b", r#""a#b""#),
            ("it's", r#""it's""#),
            (r#"$HOME\n""#, r#""\$HOME\\n\"""#),
            ("a\n\tb\u{1b}\u{7f}", r#""a\x0a\x09b\x1b\x7f""#),
            ("bücher", "\"bücher\""),
        ] {
            assert_eq!(quoted_word(word), written);
        }
    }

    #[test]
    fn an_argument_has_quotes_of_its_own() {
        assert_eq!(quoted_argument("/etc/acme map"), "/etc/acme map");
        assert_eq!(quoted_argument("a,b"), "'a,b'");
        assert_eq!(quoted_argument(r"it's \ (1)"), r"'it'\''s \ (1)'");
    }
}
