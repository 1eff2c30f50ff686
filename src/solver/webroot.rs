//! Places answers as files, for a web server that serves a directory.
//!
//! Every step goes from one open directory to the next without following symbolic links, so nothing is ever written outside of
//! the webroot, whoever else may write there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use tracing::trace;

use super::Error;
use crate::model::Token;

/// Below the webroot (RFC 8555, section 8.3).
const BELOW: [&str; 2] = [".well-known", "acme-challenge"];

/// Tokens are public, and another program's user serves them.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// A directory that a web server serves at `/`.
#[derive(Debug, Clone)]
pub struct Webroot {
    directory: PathBuf,
}

impl Webroot {
    /// Takes the directory; it is opened each time anew, so it may appear later.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Writes the answer to a token, at once or not at all.
    pub fn add(&self, token: &Token, key_authorization: &str) -> Result<(), Error> {
        self.write(token, key_authorization).map_err(|source| Error::Write { path: self.path(token), source })?;
        trace!(target: "hotcert::step", "solver: challenge written");
        Ok(())
    }

    /// Removes the answer to a token; that it is gone already is fine.
    pub fn remove(&self, token: &Token) -> Result<(), Error> {
        let removed = self.open(false).and_then(|directory| {
            // A crash may have left it while it was written.
            let _ = unlinkat(&directory, temporary(token), AtFlags::empty());
            Ok(unlinkat(&directory, token.as_str(), AtFlags::empty())?)
        });
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Remove { path: self.path(token), source }),
            Ok(()) => {
                trace!(target: "hotcert::step", "solver: challenge removed");
                Ok(())
            }
        }
    }

    fn path(&self, token: &Token) -> PathBuf {
        self.directory.join(BELOW[0]).join(BELOW[1]).join(token.as_str())
    }

    fn write(&self, token: &Token, text: &str) -> io::Result<()> {
        let directory = self.open(true)?;
        let temporary = temporary(token);
        match unlinkat(&directory, &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&directory, &temporary, flags, FILE_MODE)?);
        // The mode at creation is subject to the umask.
        fchmod(&file, FILE_MODE)?;
        file.write_all(text.as_bytes())?;
        trace!(target: "hotcert::step", "solver: challenge written beside its place");
        Ok(renameat(&directory, &temporary, &directory, token.as_str())?)
    }

    fn open(&self, create: bool) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directory = rustix::fs::open(&self.directory, flags, Mode::empty())?;
        for name in BELOW {
            let created = create
                && match mkdirat(&directory, name, DIRECTORY_MODE) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(error) => return Err(error.into()),
                };
            directory = openat(&directory, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
            if created {
                fchmod(&directory, DIRECTORY_MODE)?;
            }
        }
        Ok(directory)
    }
}

/// The name under which an answer is written. A dot file is not a token, so the web server has nobody who asks for it.
fn temporary(token: &Token) -> String {
    format!(".hotcert-{token}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_token_is_readable_by_all_and_goes_without_trace() {
        let root = tempfile::tempdir().unwrap();
        let webroot = Webroot::new(root.path());
        let token: Token = "abc".parse().unwrap();
        webroot.remove(&token).unwrap();
        webroot.add(&token, "first").unwrap();
        webroot.add(&token, "abc.thumb").unwrap();
        let path = root.path().join(".well-known/acme-challenge/abc");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc.thumb");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o755);
        webroot.remove(&token).unwrap();
        webroot.remove(&token).unwrap();
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_symbolic_link_does_not_lead_out_of_the_webroot() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), root.path().join(".well-known")).unwrap();
        let webroot = Webroot::new(root.path());
        let token: Token = "abc".parse().unwrap();
        let error = webroot.add(&token, "x").unwrap_err();
        assert!(error.hint().unwrap().contains("symbolic link"), "{error:?}");
        assert!(webroot.remove(&token).is_err());
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_place_of_a_token_is_replaced_and_not_written_through() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let directory = root.path().join(".well-known/acme-challenge");
        std::fs::create_dir_all(&directory).unwrap();
        symlink(&victim, directory.join("abc")).unwrap();
        symlink(&victim, directory.join(".hotcert-abc")).unwrap();
        Webroot::new(root.path()).add(&"abc".parse().unwrap(), "answer").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(std::fs::read_to_string(directory.join("abc")).unwrap(), "answer");
    }
}
