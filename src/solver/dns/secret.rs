//! Secrets of providers, which are files.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::Error;

/// Longest secret, in bytes: a key of a service account has some thousands.
const LONGEST: u64 = 64 << 10;

/// Reads a whole file of text; its final line break is no part of it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::Secret { path: path.to_owned(), source };
    let other = |what| failed(io::Error::other(what));
    // Never opened unless it is a file: opening a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(other("it is not a regular file"));
    }
    let mut text = Zeroizing::new(String::new());
    // Room for all of it at once, so that nothing is copied to another place while it is read.
    text.reserve_exact(usize::try_from(LONGEST).expect("a small number") + 1);
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(|error| if error.kind() == ErrorKind::InvalidData { other("it is no text") } else { failed(error) })?;
    if text.len() as u64 > LONGEST {
        return Err(other("it is too long for a secret"));
    }
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    if text.is_empty() {
        return Err(other("it is empty"));
    }
    Ok(text)
}

/// Secrets that may come back in what others print.
#[derive(Default)]
pub(super) struct Hidden(Vec<Zeroizing<String>>);

impl Hidden {
    /// Shorter ones are words that stand in any text.
    const SHORTEST: usize = 6;

    /// Adds a secret, in the forms in which it may stand in a URL or in JSON too.
    pub(super) fn add(&mut self, secret: &str) {
        let escaped = |plain: &dyn Fn(u8) -> bool| {
            let mut text = Zeroizing::new(String::with_capacity(3 * secret.len()));
            for byte in secret.bytes() {
                if plain(byte) { text.push(char::from(byte)) } else { text.push_str(&format!("%{byte:02X}")) }
            }
            text
        };
        let forms = [
            Zeroizing::new(secret.to_owned()),
            escaped(&|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
            escaped(&|byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte)),
        ];
        self.0.extend(forms.into_iter().filter(|form| form.len() >= Self::SHORTEST));
    }

    /// The text without any of them.
    pub(super) fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_break_and_a_pipe_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "a secret\r\n").unwrap();
        assert_eq!(read(&path).unwrap().as_str(), "a secret");
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(read(&path).is_err());
        assert!(read(directory.path()).is_err() && read(&directory.path().join("none")).is_err());
    }

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let mut hidden = Hidden::default();
        hidden.add("s3cret/&=");
        hidden.add("no");
        assert_eq!(hidden.mask("no s3cret/&= at ?token=s3cret%2F%26%3D"), "no … at ?token=…");
    }
}
