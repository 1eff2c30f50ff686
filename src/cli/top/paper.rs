//! What text is written on: a terminal with colours or without, which shows more than ASCII or not.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::printable;
use crate::observe::overview::Tone;

/// The longest text of others that is shown, in characters.
const SHOWN: usize = 2000;

/// What a terminal can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paper {
    pub(super) color: bool,
    pub(super) unicode: bool,
}

/// How a piece of text looks. What it says never depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Soft,
    Bold,
    Toned(Tone),
}

/// A line of text, in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(Ink, String)>);

impl Line {
    pub(super) fn of(ink: Ink, text: impl Into<String>) -> Self {
        Self(vec![(ink, text.into())])
    }

    pub(super) fn and(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// Adds blanks up to a column.
    pub(super) fn to(self, column: usize) -> Self {
        let blanks = column.saturating_sub(self.width());
        self.and(Ink::Plain, " ".repeat(blanks))
    }
}

impl Paper {
    /// A shape for each tone, since colours are not seen by everyone.
    pub(super) fn mark(self, tone: Tone) -> &'static str {
        match (tone, self.unicode) {
            (Tone::Good, true) => "●",
            (Tone::Look, true) => "▲",
            (Tone::Broken, true) => "✖",
            (Tone::Good, false) => "+",
            (Tone::Look, false) => "!",
            (Tone::Broken, false) => "X",
        }
    }

    /// A text of somebody else, as it can be shown: on one line, and of characters that the terminal has.
    pub(super) fn tame(self, text: &str) -> String {
        let plain = printable(text, SHOWN);
        if self.unicode {
            return plain;
        }
        let known = |letter: char| match letter {
            letter if letter.is_ascii() => letter,
            '…' => '~',
            '·' | '–' => '-',
            _ => '?',
        };
        plain.chars().map(known).collect()
    }

    /// The beginning of a text that fits into so many columns, marked where it is cut.
    pub(super) fn fit(self, text: &str, columns: usize) -> String {
        let text = self.tame(text);
        if text.width() <= columns {
            return text;
        }
        let mut left = columns.saturating_sub(1);
        let fits = |letter: &char| {
            let width = letter.width().unwrap_or(0);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        };
        let mut cut: String = text.chars().take_while(fits).collect();
        cut.push(if self.unicode { '…' } else { '~' });
        cut
    }

    /// A text in lines of so many columns, broken at blanks where there are any.
    pub(super) fn wrap(self, text: &str, columns: usize) -> Vec<String> {
        let columns = columns.max(8);
        let mut lines = vec![String::new()];
        for word in self.tame(text).split(' ') {
            let mut word = word;
            loop {
                let last = lines.last_mut().expect("there is one from the beginning");
                let gap = usize::from(!last.is_empty());
                let room = columns.saturating_sub(last.width() + gap);
                if word.width() <= room {
                    last.push_str(&" ".repeat(gap));
                    last.push_str(word);
                    break;
                }
                if !last.is_empty() {
                    lines.push(String::new());
                    continue;
                }
                // A word that is longer than a line.
                let mut taken = 0;
                let end = word.char_indices().find(|(_, letter)| {
                    taken += letter.width().unwrap_or(0);
                    taken > columns
                });
                let at = end.map_or(word.len(), |(at, _)| at);
                last.push_str(&word[..at]);
                word = &word[at..];
                lines.push(String::new());
            }
        }
        lines
    }

    /// A line as it is written, at most so many columns of it.
    pub(super) fn print(self, line: &Line, columns: usize) -> String {
        let mut out = String::new();
        let mut left = columns;
        for (ink, text) in &line.0 {
            let mut piece = String::new();
            for letter in text.chars() {
                let width = letter.width().unwrap_or(0);
                if width > left {
                    left = 0;
                    break;
                }
                left -= width;
                piece.push(letter);
            }
            match ink.code().filter(|_| self.color && !piece.trim().is_empty()) {
                Some(code) => out.push_str(&format!("\u{1b}[{code}m{piece}\u{1b}[0m")),
                None => out.push_str(&piece),
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out
    }
}

impl Ink {
    /// As a terminal is told (ECMA-48, section 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Soft => Some("2"),
            Self::Bold => Some("1"),
            Self::Toned(Tone::Good) => Some("32"),
            Self::Toned(Tone::Look) => Some("33"),
            Self::Toned(Tone::Broken) => Some("1;31"),
        }
    }
}
