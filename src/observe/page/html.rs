//! Text that goes into HTML, whoever chose it.

use std::fmt;

use crate::model::printable;

/// The longest text that is shown, in characters: room for an error with its causes.
const SHOWN: usize = 2000;

/// A text as HTML, for elements and for attributes in double quotes: one line, bounded, without what could drive a reader's eye
/// elsewhere, and without markup.
pub(super) struct Esc<'a>(pub(super) &'a str);

impl fmt::Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for letter in printable(self.0, SHOWN).chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_neither_open_a_tag_nor_leave_an_attribute_nor_turn_its_reader_around() {
        let hostile = "<script>&\"'>\n\u{202e}\0";
        assert_eq!(Esc(hostile).to_string(), "&lt;script&gt;&amp;&quot;&#39;&gt; ");
        assert_eq!(Esc(&"x".repeat(9999)).to_string().chars().count(), SHOWN + 1);
    }
}
