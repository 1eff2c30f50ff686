//! Editing a crt-list file (configuration manual, section 5.1, `crt-list`), so that an attachment lasts beyond a reload.
//!
//! A line is a certificate, its options in brackets, and its SNI filters. Lines that are not ours are kept byte for byte, in
//! whatever encoding; the file keeps its mode and owner, and a symbolic link stays one. A file that does not follow the
//! syntax is not edited. Several lines may name one certificate; only the one that is asked for is touched.

mod names;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access as Permission;

pub use names::{Names, last_part, same_path};

use super::atomic::{self, Access, PERMISSIONS};
use super::error::{Error, io};
use super::read;
use crate::model::{Invalid, Slot};
use crate::plan::Attachment;

/// Longest line that `HAProxy` reads, in bytes without its end (`CRT_LINESIZE` in its source).
const LONGEST_LINE: usize = 65_534;
/// The most that is read of a crt-list, in bytes: a hundred thousand entries with some filters each.
const LONGEST_FILE: usize = 64 * 1024 * 1024;

/// One entry of a crt-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its line, from 1.
    pub line: usize,
    /// The certificate, as it is written there.
    pub certificate: String,
    /// The words between the brackets.
    pub options: Vec<String>,
    /// The SNI filters.
    pub filters: Vec<String>,
}

/// Reads the entries of a crt-list.
pub fn entries(file: &Path) -> Result<Vec<Entry>, Error> {
    parse(file, &contents(file)?)
}

/// Whether a crt-list can be edited: it follows the syntax, and its directory can be written to.
pub fn check(file: &Path) -> Result<(), Error> {
    entries(file)?;
    let real = fs::canonicalize(file).map_err(io("open", file))?;
    let directory = atomic::directory_of(&real);
    rustix::fs::access(directory, Permission::WRITE_OK | Permission::EXEC_OK)
        .map_err(|error| io("write to", directory)(error.into()))
}

/// Appends an entry; `false` when the same one (certificate, options and filters) is there already.
///
/// Options are written as in a crt-list, brackets included: `[alpn h2,http/1.1]`. A last line without its end gets one:
/// `HAProxy` takes it for a truncated file.
pub fn add_entry(slot: &Slot, to: &Attachment, names: &Names) -> Result<bool, Error> {
    edit(to, |file, before| added(file, before, slot, to, names))
}

/// Puts an entry in the place of another of the same list, so that the order stays; appends it when the other one is not there.
pub fn replace_entry(slot: &Slot, old: &Attachment, new: &Attachment, names: &Names) -> Result<bool, Error> {
    edit(new, |file, before| replaced(file, before, slot, old, new, names))
}

/// Removes the last entry that is just this one; `false` when there is none.
pub fn remove_entry(slot: &Slot, from: &Attachment, names: &Names) -> Result<bool, Error> {
    edit(from, |file, before| removed(file, before, slot, from, names))
}

fn edit(of: &Attachment, change: impl FnOnce(&Path, &[u8]) -> Result<Option<Vec<u8>>, Error>) -> Result<bool, Error> {
    let file = Path::new(&of.list);
    match change(file, &contents(file)?)? {
        Some(after) => replace(file, &after),
        None => Ok(false),
    }
}

impl Entry {
    /// Whether it is the entry of a slot with these options and filters. The order of options has no meaning.
    #[must_use]
    pub fn is(&self, slot: &Slot, wanted: &Attachment, names: &Names) -> bool {
        names.is(&self.certificate, slot) && self.has(wanted)
    }

    /// Whether it has these options and filters.
    #[must_use]
    pub fn has(&self, wanted: &Attachment) -> bool {
        self.filters == wanted.filters && sorted(self.options.clone()) == sorted(wanted.option_words())
    }
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort_unstable();
    words
}

fn contents(file: &Path) -> Result<Vec<u8>, Error> {
    let bytes =
        read::up_to(LONGEST_FILE, file)?.ok_or_else(|| io("open", file)(std::io::ErrorKind::NotFound.into()))?;
    Ok(bytes.to_vec())
}

fn replace(file: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let file = fs::canonicalize(file).map_err(io("open", file))?;
    let found = fs::metadata(&file).map_err(io("open", &file))?;
    let access = Access { mode: found.mode() & PERMISSIONS, uid: Some(found.uid()), gid: Some(found.gid()) };
    atomic::replace(&file, bytes, access)?;
    tracing::trace!(target: "hotcert::step", "store: crt-list written");
    Ok(true)
}

fn added(file: &Path, before: &[u8], slot: &Slot, to: &Attachment, names: &Names) -> Result<Option<Vec<u8>>, Error> {
    let line = line_of(file, slot, to)?;
    if parse(file, before)?.iter().any(|entry| entry.is(slot, to, names)) {
        return Ok(None);
    }
    let mut after = before.to_vec();
    if after.last().is_some_and(|last| *last != b'\n') {
        after.push(b'\n');
    }
    after.extend_from_slice(line.as_bytes());
    after.push(b'\n');
    Ok(Some(after))
}

fn replaced(
    file: &Path,
    before: &[u8],
    slot: &Slot,
    old: &Attachment,
    new: &Attachment,
    names: &Names,
) -> Result<Option<Vec<u8>>, Error> {
    let line = line_of(file, slot, new)?;
    let entries = parse(file, before)?;
    let Some(doomed) = entries.iter().rfind(|entry| entry.is(slot, old, names)) else {
        return added(file, before, slot, new, names);
    };
    if entries.iter().any(|entry| entry.is(slot, new, names)) {
        return removed(file, before, slot, old, names);
    }
    let change = |(bytes, number): (&[u8], usize)| {
        if number != doomed.line {
            return bytes.to_vec();
        }
        let end = ["\r\n", "\n"].into_iter().find(|end| bytes.ends_with(end.as_bytes())).unwrap_or("");
        [line.as_bytes(), end.as_bytes()].concat()
    };
    Ok(Some(lines(before).flat_map(change).collect()))
}

fn removed(
    file: &Path,
    before: &[u8],
    slot: &Slot,
    from: &Attachment,
    names: &Names,
) -> Result<Option<Vec<u8>>, Error> {
    let entries = parse(file, before)?;
    let Some(doomed) = entries.iter().rfind(|entry| entry.is(slot, from, names)) else { return Ok(None) };
    let kept = lines(before).filter(|(_, number)| *number != doomed.line);
    Ok(Some(kept.flat_map(|(line, _)| line).copied().collect()))
}

/// The line of an entry, without its end.
fn line_of(file: &Path, slot: &Slot, to: &Attachment) -> Result<String, Error> {
    let refuse = |what, text: &str, reason| {
        Err(Error::CrtListEntry { path: file.to_owned(), source: Invalid::new(what, text, reason) })
    };
    if slot.as_str().starts_with('#') || slot.as_str().contains(['[', ']']) {
        return refuse("crt-list certificate", slot.as_str(), "`#` starts a comment, and brackets enclose options");
    }
    if let Some(options) = &to.options
        && options
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_none_or(|inner| inner.contains(['[', ']']) || inner.contains(char::is_control))
    {
        return refuse("crt-list option list", options, "use one line in one pair of brackets");
    }
    for filter in &to.filters {
        if filter.is_empty() || !filter.bytes().all(|byte| byte.is_ascii_graphic() && !b"[]".contains(&byte)) {
            return refuse("crt-list filter", filter, "use a name, `*`, or one of them after `!`");
        }
    }
    let options = to.option_words();
    let options = (!options.is_empty()).then(|| format!("[{}]", options.join(" ")));
    let line = [slot.as_str()]
        .into_iter()
        .chain(options.as_deref())
        .chain(to.filters.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    if line.len() > LONGEST_LINE {
        return refuse("crt-list line", &line, "it is longer than HAProxy reads");
    }
    Ok(line)
}

/// The lines of a file with their ends, each with its number.
fn lines(contents: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    contents.split_inclusive(|byte| *byte == b'\n').zip(1..)
}

fn parse(file: &Path, contents: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for (line, number) in lines(contents) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let entry = parse_line(number, line).map_err(|reason| Error::CrtListUnreadable {
            path: file.to_owned(),
            line: number,
            reason,
        })?;
        entries.extend(entry);
    }
    Ok(entries)
}

/// Splits a line as `HAProxy` does: a comment has its `#` in the first column, a bracket ends a word.
fn parse_line(number: usize, line: &[u8]) -> Result<Option<Entry>, &'static str> {
    if line.contains(&0) {
        return Err("it contains a NUL byte");
    }
    if line.len() > LONGEST_LINE {
        return Err("it is longer than HAProxy reads");
    }
    if line.starts_with(b"#") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(line);
    let (before, options, after) = match text.split_once('[') {
        None => (&*text, "", ""),
        Some((before, rest)) => {
            // Where the bracket is not closed, HAProxy takes the rest for filters.
            let (options, after) = rest.split_once(']').unwrap_or(("", rest));
            (before, options, after)
        }
    };
    if [before, options, after].iter().any(|part| part.contains(['[', ']'])) {
        return Err("there is more than one pair of brackets, or a stray one");
    }
    let mut leading = words(before).into_iter();
    let Some(certificate) = leading.next() else {
        return if text.contains('[') { Err("no certificate stands before the options") } else { Ok(None) };
    };
    Ok(Some(Entry {
        line: number,
        certificate,
        options: words(options),
        filters: leading.chain(words(after)).collect(),
    }))
}

/// Words between what C calls a space in HAProxy's locale.
fn words(text: &str) -> Vec<String> {
    text.split([' ', '\t', '\n', '\r', '\x0b', '\x0c']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
