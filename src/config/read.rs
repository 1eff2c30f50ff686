//! Reading TOML tables key by key, so that every problem is found, and every value remembers its place.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// An effective value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key, as in `haproxy.edge.socket`.
    pub key: String,
    /// The value, as people write it.
    pub value: String,
    /// `file:line`, a flag, `default` or `remembered`.
    pub origin: String,
}

/// Collects problems and settings while a file is read.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    pub(super) problems: Vec<Problem>,
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<String>,
    pub(super) unreadable: Vec<Problem>,
}

/// A table whose keys are taken one by one; what is left in the end is unknown.
pub(super) struct Section<'a> {
    path: String,
    span: Range<usize>,
    entries: BTreeMap<String, Entry<'a>>,
    known: Vec<&'static str>,
}

/// One value with its place.
pub(super) struct Entry<'a> {
    pub(super) key: String,
    key_span: Range<usize>,
    pub(super) value: Spanned<DeValue<'a>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new(), settings: Vec::new(), warnings: Vec::new(), unreadable: Vec::new() }
    }

    /// Parses the text; syntax errors become problems.
    pub(super) fn document(&mut self) -> Section<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let what = error.message().to_owned();
            self.problem(&error.span().unwrap_or(0..0), "", what);
        }
        let span = table.span();
        Section::new(String::new(), span, table.into_inner())
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, key: &str, what: impl Into<String>) {
        let problem = self.problem_at(span, key, what);
        self.problems.push(problem);
    }

    fn problem_at(&self, span: &Range<usize>, key: &str, what: impl Into<String>) -> Problem {
        let (line, column) = self.place(span.start);
        Problem { file: self.file.to_owned(), line, column, key: key.to_owned(), what: what.into() }
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn set(&mut self, key: &str, value: String, span: Option<&Range<usize>>) {
        let origin = span.map_or_else(
            || "default".to_owned(),
            |span| format!("{}:{}", self.file.display(), self.place(span.start).0),
        );
        self.settings.push(Setting { key: key.to_owned(), value, origin });
    }
}

impl<'a> Section<'a> {
    fn new(path: String, span: Range<usize>, table: DeTable<'a>) -> Self {
        let entries = table
            .into_iter()
            .map(|(name, value)| {
                let key_span = name.span();
                let name = name.into_inner().into_owned();
                let key = join(&path, &name);
                (name, Entry { key, key_span, value })
            })
            .collect();
        Self { path, span, entries, known: Vec::new() }
    }

    /// The full name of a key of this table.
    pub(super) fn key(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Whether a key is there (and was not taken yet).
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn take(&mut self, name: &'static str) -> Option<Entry<'a>> {
        self.known.push(name);
        self.entries.remove(name)
    }

    /// Takes a value by a conversion that says what is wrong with it.
    pub(super) fn get<T>(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        convert: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.take(name)?;
        match convert(entry.value.get_ref()) {
            Ok(value) => {
                reader.set(&entry.key, show(entry.value.get_ref()), Some(&entry.key_span));
                Some(value)
            }
            Err(what) => {
                reader.problem(&entry.value.span(), &entry.key, what);
                None
            }
        }
    }

    /// The same, with a value for when the key is absent or wrong.
    pub(super) fn get_or<T: ToString>(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        default: T,
        convert: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> T {
        if !self.has(name) {
            self.known.push(name);
            reader.set(&self.key(name), default.to_string(), None);
            return default;
        }
        self.get(reader, name, convert).unwrap_or(default)
    }

    /// The same, for a key that must be there.
    pub(super) fn require<T>(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        convert: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(name) {
            self.known.push(name);
            reader.problem(&self.span, &self.key(name), "is missing");
            return None;
        }
        self.get(reader, name, convert)
    }

    /// The same for a value that must not be shown as it is: the conversion also tells what is shown instead.
    pub(super) fn require_veiled<T>(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        convert: impl FnOnce(&DeValue<'a>) -> Result<(T, String), String>,
    ) -> Option<T> {
        let Some(entry) = self.take(name) else {
            reader.problem(&self.span, &self.key(name), "is missing");
            return None;
        };
        match convert(entry.value.get_ref()) {
            Ok((value, shown)) => {
                reader.set(&entry.key, shown, Some(&entry.key_span));
                Some(value)
            }
            Err(what) => {
                reader.problem(&entry.value.span(), &entry.key, what);
                None
            }
        }
    }

    /// Whether a problem with a key of this table was reported.
    pub(super) fn was_wrong(&self, reader: &Reader<'_>, name: &str) -> bool {
        let key = self.key(name);
        reader.problems.iter().any(|problem| problem.key == key)
    }

    /// The line on which the table begins, from 1.
    pub(super) fn line(&self, reader: &Reader<'_>) -> usize {
        reader.place(self.span.start).0
    }

    /// Reports a problem about the table as a whole.
    pub(super) fn problem(&self, reader: &mut Reader<'_>, name: &str, what: impl Into<String>) {
        reader.problem(&self.span, &self.key(name), what);
    }

    /// Takes the path of a file that has to be there, absolute.
    pub(super) fn file(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Option<PathBuf> {
        let span = self.entries.get(name).map(|entry| entry.value.span());
        let path = self.require(reader, name, |value| match path(value)? {
            path if path.is_absolute() => Ok(path),
            // What stands there may be the secret itself.
            _ => Err("must be the absolute path of a file".to_owned()),
        })?;
        // Never opened unless it is a file: opening a pipe waits for its writer.
        let open = || std::fs::File::open(&path).map(drop);
        let other = || Err(std::io::Error::other("it is not a regular file"));
        let readable = std::fs::metadata(&path).and_then(|found| if found.is_file() { open() } else { other() });
        if let (Err(error), Some(span)) = (readable, span) {
            let problem = reader.problem_at(&span, &self.key(name), format!("cannot read {}: {error}", path.display()));
            reader.unreadable.push(problem);
        }
        Some(path)
    }

    /// Takes a table of one's own, such as `[haproxy.NAME.tls]`, which may be written in line.
    pub(super) fn table(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Option<Section<'a>> {
        let entry = self.take(name)?;
        let span = entry.value.span();
        match entry.value.into_inner() {
            DeValue::Table(table) => Some(Section::new(entry.key, span, table)),
            other => {
                reader.problem(&span, &entry.key, format!("must be a table, not {}", a(&other)));
                None
            }
        }
    }

    /// Takes a table of tables, such as `[issuer.NAME]`.
    pub(super) fn tables(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Vec<(String, Section<'a>)> {
        let Some(entry) = self.take(name) else { return Vec::new() };
        let span = entry.value.span();
        let DeValue::Table(table) = entry.value.into_inner() else {
            reader.problem(&span, &entry.key, format!("must be tables, written [{name}.NAME]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (child, value) in table {
            let path = join(&entry.key, child.get_ref());
            let span = child.span();
            match value.into_inner() {
                DeValue::Table(table) => {
                    sections.push((child.into_inner().into_owned(), Section::new(path, span, table)));
                }
                _ => reader.problem(&span, &path, format!("must be a table, written [{name}.NAME]")),
            }
        }
        sections
    }

    /// Takes an array of tables, such as `[[certificate]]`.
    pub(super) fn array(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Vec<Section<'a>> {
        let Some(entry) = self.take(name) else { return Vec::new() };
        let span = entry.value.span();
        let DeValue::Array(array) = entry.value.into_inner() else {
            reader.problem(&span, &entry.key, format!("must be an array of tables, written [[{name}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, value) in array.into_iter().enumerate() {
            let path = format!("{}[{index}]", entry.key);
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => sections.push(Section::new(path, span, table)),
                _ => reader.problem(&span, &path, format!("must be a table, written [[{name}]]")),
            }
        }
        sections
    }

    /// Reports every key that was not taken.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for (name, entry) in &self.entries {
            let near = self.known.iter().find(|known| is_near(known, name));
            let what =
                near.map_or_else(|| "unknown key".to_owned(), |near| format!("unknown key; did you mean `{near}`?"));
            reader.problem(&entry.key_span, &entry.key, what);
        }
    }
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("must be a string, not {}", a(value)))
}

pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match text(value)? {
        text if text.is_empty() => Err("must not be empty".to_owned()),
        text => Ok(PathBuf::from(text)),
    }
}

pub(super) fn parsed<T: FromStr<Err: ToString>>(value: &DeValue<'_>) -> Result<T, String> {
    text(value)?.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, not {}", a(value)))
}

pub(super) fn list<T>(
    value: &DeValue<'_>,
    convert: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let array = value.as_array().ok_or_else(|| format!("must be a list, not {}", a(value)))?;
    array.iter().map(|item| convert(item.get_ref())).collect()
}

/// A span of time; `bounds` are `between`, in words.
pub(super) fn span(
    value: &DeValue<'_>,
    bounds: RangeInclusive<SignedDuration>,
    between: &str,
) -> Result<SignedDuration, String> {
    let text = text(value)?;
    let span = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    match span {
        Ok(span) if bounds.contains(&span) => Ok(span),
        Ok(_) => Err(format!("{text:?} is not from {between}")),
        Err(_) => Err(format!("{text:?} is no span of time: use one from {between}, such as 5m or 1h")),
    }
}

/// A value of one, or a list.
pub(super) fn one_or_more<T>(
    value: &DeValue<'_>,
    convert: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    if value.as_array().is_some() { list(value, convert) } else { Ok(vec![convert(value)?]) }
}

fn a(value: &DeValue<'_>) -> String {
    format!("a value of type {}", value.type_str())
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() || name.is_empty() { format!("{path}{name}") } else { format!("{path}.{name}") }
}

fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

/// Whether one is a slip of the other: one edit, or another way to part words.
fn is_near(known: &str, typed: &str) -> bool {
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let (known, typed) = (plain(known), plain(typed));
    if known == typed || format!("{known}s") == typed || format!("{typed}s") == known {
        return true;
    }
    let (a, b): (Vec<_>, Vec<_>) = (known.chars().collect(), typed.chars().collect());
    let same_start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    a.len().abs_diff(b.len()) <= 1 && same_start + same_end + 1 >= a.len().max(b.len()) && a.len() > 3
}
