//! Reading with a bound: a file that grew, a device or a pipe in a file's place is an error, never a hang.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{Error, io};
use crate::bundle::pem::MAX_INPUT;

/// The contents of a regular file of at most [`MAX_INPUT`] bytes; `None` when there is none.
pub fn bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    up_to(MAX_INPUT, path)
}

/// The contents of a regular file of at most `limit` bytes; `None` when there is none.
pub(super) fn up_to(limit: usize, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let mut out = Zeroizing::default();
    Ok(read(limit, path, &mut out)?.then_some(out))
}

/// Reads a regular file of at most `limit` bytes; whether there is one.
fn read(limit: usize, path: &Path, out: &mut Vec<u8>) -> Result<bool, Error> {
    let too_long = || Error::TooLong { path: path.to_owned(), limit };
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("open flags fit the type that open(2) takes");
    // Opening a pipe must not wait for its writer.
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io("open", path)(error)),
    };
    let found = file.metadata().map_err(io("read", path))?;
    if !found.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let length = usize::try_from(found.len()).ok().filter(|length| *length <= limit).ok_or_else(too_long)?;
    // One allocation of the final size: growing would leave copies of a key behind in freed memory.
    out.resize(length + 1, 0);
    let mut filled = 0;
    // Where all that there was has come, nobody needs to ask for more.
    while filled != length || length == 0 {
        match file.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io("read", path)(error)),
        }
        if filled > limit {
            return Err(too_long());
        }
        if filled == out.len() {
            // It has grown since, or does not tell its length.
            out.resize(limit.min(2 * filled) + 1, 0);
        }
    }
    out.truncate(filled);
    Ok(true)
}

/// The contents of a text file; `None` when there is none.
pub(super) fn text(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let Some(bytes) = bytes(path)? else { return Ok(None) };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(error) => Err(Error::Damaged { path: path.to_owned(), source: Box::new(error) }),
    }
}

/// The value in a JSON file; `None` when there is no file. There is no key in any.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let mut bytes = Vec::new();
    if !read(MAX_INPUT, path, &mut bytes)? {
        return Ok(None);
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Damaged { path: path.to_owned(), source: Box::new(error) })
}
