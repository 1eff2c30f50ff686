//! One line of a configuration to words (configuration manual, sections 2.2 and 2.3).
//!
//! As `HAProxy` does it, and nothing more: a backslash before the end of a line is a backslash, and joins nothing.

use std::collections::BTreeMap;

/// Words of a line that `HAProxy` accepts (`MAX_LINE_ARGS` in its source).
const MAX_WORDS: usize = 64;
/// Bytes of all words of a line, with variables in their place. No line that a person wrote comes near.
const MAX_LINE: usize = 128 * 1024;

/// The environment variables as they are at a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) values: BTreeMap<String, String>,
    /// Whether those that the process was started with are among them.
    pub(super) are_known: bool,
}

/// Where a line stands, for the variables that tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) file: &'a str,
    pub(super) line: u32,
    pub(super) section: &'a str,
}

/// The words of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) words: Vec<String>,
    /// Whether every variable in it was known.
    pub(super) is_certain: bool,
}

/// Splits a line; an error says what `HAProxy` would refuse it for.
pub(super) fn split(line: &str, variables: &Variables, here: Here<'_>) -> Result<Split, &'static str> {
    let mut splitter = Splitter { rest: line, variables, here, words: Words::default(), is_certain: true };
    splitter.run()?;
    Ok(Split { words: splitter.words.done, is_certain: splitter.is_certain })
}

struct Splitter<'a> {
    rest: &'a str,
    variables: &'a Variables,
    here: Here<'a>,
    words: Words,
    is_certain: bool,
}

/// The words so far.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: Option<String>,
    bytes: usize,
}

impl Words {
    fn push(&mut self, letter: char) -> Result<(), &'static str> {
        self.bytes += letter.len_utf8();
        if self.bytes > MAX_LINE {
            return Err("it is too long");
        }
        self.current.get_or_insert_default().push(letter);
        Ok(())
    }

    fn end(&mut self) -> Result<(), &'static str> {
        if let Some(word) = self.current.take() {
            if self.done.len() >= MAX_WORDS {
                return Err("it has too many words");
            }
            self.done.push(word);
        }
        Ok(())
    }
}

impl<'a> Splitter<'a> {
    fn run(&mut self) -> Result<(), &'static str> {
        let mut quote: Option<char> = None;
        // An empty pair of quotes is a word, but for a list of words that is empty.
        let mut is_empty_word = false;
        while let Some(letter) = self.next() {
            match (letter, quote) {
                ('\r' | '\n' | '\0', _) | ('#', None) => break,
                ('"' | '\'', None) => {
                    quote = Some(letter);
                    is_empty_word = true;
                }
                ('"' | '\'', Some(open)) if open == letter => {
                    if is_empty_word {
                        self.words.current.get_or_insert_default();
                    }
                    quote = None;
                }
                ('\\', None | Some('"')) => self.escape(quote)?,
                ('$', Some('"')) => is_empty_word &= !self.variable()?,
                (space, None) if space.is_ascii_whitespace() || space == '\u{b}' => self.words.end()?,
                (other, _) => self.words.push(other)?,
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        self.words.end()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    fn skip(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    /// What follows a backslash.
    fn escape(&mut self, quote: Option<char>) -> Result<(), &'static str> {
        let special = match self.rest.chars().next() {
            Some(letter @ (' ' | '\\' | '#' | '\'' | '"')) => Some(letter),
            Some('$') if quote.is_some() => Some('$'),
            Some('t') => Some('\t'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('x') => {
                let digits = self.rest.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                // `from_str_radix` takes a sign.
                let byte =
                    digits.filter(|_| !self.rest[1..].starts_with('+')).ok_or("\\x needs two hexadecimal digits")?;
                self.rest = &self.rest[2..];
                Some(char::from(byte))
            }
            _ => None,
        };
        if special.is_some() {
            self.next();
        }
        self.words.push(special.unwrap_or('\\'))
    }

    /// What follows a dollar in double quotes; tells whether it was a list of words.
    fn variable(&mut self) -> Result<bool, &'static str> {
        let has_brace = self.skip("{");
        let has_dot = self.skip(".");
        let end =
            self.rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !has_dot && !name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
            return Err("a variable's name begins with a letter");
        }
        let is_list = has_brace && self.skip("[");
        if is_list && !self.skip("*]") {
            return Err("a list of words is written ${NAME[*]}");
        }
        let mut default = None;
        if has_brace {
            let end = self.rest.find('}').ok_or("a brace is not closed")?;
            let (inner, rest) = self.rest.split_at(end);
            self.rest = &rest[1..];
            default = inner.strip_prefix('-');
            if default.is_none() && !inner.is_empty() {
                return Err("a brace is not closed");
            }
        }
        let value = self.value(name, has_dot)?.or(default.map(str::to_owned)).unwrap_or_default();
        for letter in value.chars() {
            if is_list && letter.is_ascii_whitespace() {
                self.words.end()?;
            } else {
                self.words.push(letter)?;
            }
        }
        if !is_list {
            self.words.current.get_or_insert_default();
        }
        Ok(is_list)
    }

    fn value(&mut self, name: &'a str, is_pseudo: bool) -> Result<Option<String>, &'static str> {
        if is_pseudo {
            return Ok(Some(match name {
                "LINE" => self.here.line.to_string(),
                "FILE" => self.here.file.to_owned(),
                "SECTION" => self.here.section.to_owned(),
                _ => return Err("there is no such variable"),
            }));
        }
        let value = self.variables.values.get(name).cloned();
        self.is_certain &= value.is_some() || self.variables.are_known;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let values = [("BAR", "x"), ("FOO", "a b"), ("EMPTY", "")];
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Variables { values, are_known: true }
    }

    fn words(line: &str) -> Result<Vec<String>, &'static str> {
        let here = Here { file: "/etc/h.cfg", line: 7, section: "global" };
        split(line, &variables(), here).map(|split| split.words)
    }

    #[test]
    fn words_are_those_of_haproxy() {
        let cases: [(&str, &[&str]); 13] = [
            ("  bind :443   ssl\tcrt /a # b", &["bind", ":443", "ssl", "crt", "/a"]),
            ("crt $BAR \"$BAR\" \"${BAR}y\" '$BAR' ${BAR}", &["crt", "$BAR", "x", "xy", "$BAR", "${BAR}"]),
            ("a \"${FOO[*]}\" \"${FOO}\" b", &["a", "a", "b", "a b", "b"]),
            ("\"${NOPE-def ault}\" \"${NOPE}\" \"${EMPTY-x}\"", &["def ault", "", ""]),
            ("\"${NOPE[*]}\" \"${EMPTY[*]}\" \"\" ''", &["", ""]),
            (r"a\ b a\tb a\x41b a\#c a\qb", &["a b", "a\tb", "aAb", "a#c", r"a\qb"]),
            (r#""q\"q" 'q\q' x"y z"w "\$BAR" \"#, &["q\"q", r"q\q", "xy zw", "$BAR", "\\"]),
            ("a#b c", &["a"]),
            ("\"$BAR#\" ü", &["x#", "ü"]),
            ("\"${.FILE}:${.LINE}\" \"$.SECTION\"", &["/etc/h.cfg:7", "global"]),
            ("", &[]),
            ("# x", &[]),
            ("a\r\nb", &["a"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        for bad in
            ["\"a", "'a", "\"${BAR\"", "\"$1\"", "\"$\"", r"a\x4", r"a\x+1", "\"${BAR[x]}\"", "\"${BAR:x}\"", "\"$.X\""]
        {
            assert!(words(bad).is_err(), "{bad}");
        }
        assert!(words(&"w ".repeat(100)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_quoted_word_is_read_as_it_was(word in "\\PC*|[\"'\\\\$# \\x01-\\x7fx0]*") {
            let line = format!("bind {} ssl", crate::model::quoted_word(&word));
            proptest::prop_assert_eq!(words(&line).unwrap(), ["bind", &word, "ssl"]);
        }
    }

    #[test]
    fn a_variable_of_an_environment_that_nobody_may_read_is_uncertain() {
        let here = Here { file: "", line: 1, section: "" };
        let hidden = Variables { are_known: false, ..variables() };
        assert!(split("a \"$BAR\" $NOPE '$NOPE'", &hidden, here).unwrap().is_certain);
        assert!(!split("a \"${NOPE-b}\"", &hidden, here).unwrap().is_certain);
    }
}
