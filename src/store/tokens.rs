//! Tokens whose answers outlive the process (RFC 8555, section 8.3), so that what a crash leaves is found and taken away.
//!
//! Those that `HAProxy` itself answers are desired state, like certificates: the solver stores and retires them, `reconcile`
//! places them on every node and takes them away. The two may be different processes, so each change is made under a lock that
//! is held for one read and one write.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::io;
use super::{AnswersLock, Error, Store, read, remove};
use crate::model::{CertName, DnsName, DnsProvider, Invalid, Record, chain};

/// One token and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token, base64url.
    pub token: String,
    /// What the authority expects to read: the token, a dot, the account's thumbprint.
    pub key_authorization: String,
    /// Where it is answered.
    pub place: Place,
    /// For which certificate.
    pub certificate: CertName,
    /// Whether the order still needs it; when not, it is to be taken out of the map.
    pub wanted: bool,
    /// Whether every node has it.
    pub placed: bool,
    /// Why one has not, as far as whoever brings it there has found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<Hindrance>,
}

/// Why a token is not on every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}")]
pub struct Hindrance {
    /// What went wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it stays so until somebody has acted.
    pub lasts: bool,
}

/// Where the answer to a challenge lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A map of `HAProxy`.
    Map(String),
    /// The document root of another web server, where the solver itself places it.
    Webroot(PathBuf),
    /// A record, which the solver itself adds.
    Dns {
        /// Who keeps it.
        provider: DnsProvider,
        /// Its zone, where that is known.
        zone: Option<DnsName>,
        /// The record.
        record: Record,
    },
}

impl Store {
    /// Stores a token that has to be answered.
    pub fn put_token(&self, token: &Token) -> Result<(), Error> {
        let path = self.token_path(&token.token)?;
        let _lock = self.lock_tokens()?;
        self.write_json(&path, token)?;
        tracing::trace!(target: "hotcert::step", "store: token stored");
        Ok(())
    }

    /// Says that a token is not needed any more; one that is gone is fine.
    pub fn retire_token(&self, token: &str) -> Result<(), Error> {
        self.change_token(token, |token| token.wanted = false)?;
        tracing::trace!(target: "hotcert::step", "store: token retired");
        Ok(())
    }

    /// Says that every node answers a token; one that is gone is fine.
    pub fn mark_placed(&self, token: &str) -> Result<(), Error> {
        self.change_token(token, |token| (token.placed, token.hindrance) = (true, None))?;
        tracing::trace!(target: "hotcert::step", "store: token marked as placed");
        Ok(())
    }

    /// Says why a token is not on every node yet; one that is gone is fine.
    pub fn note_hindrance(&self, token: &str, hindrance: &Hindrance) -> Result<(), Error> {
        self.change_token(token, |token| token.hindrance = Some(hindrance.clone()))
    }

    /// All tokens, by name. A file that cannot be understood is left out with a warning: it must not hold up the others.
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        let directory = self.root.join("tokens");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("list", &directory)(error)),
        };
        let mut tokens = Vec::new();
        for entry in entries {
            let path = entry.map_err(io("list", &directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else { continue };
            if checked(name).is_err() {
                continue;
            }
            match read::json::<Token>(&path) {
                Ok(token) => tokens.extend(token),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(path = %path.display(), error = %chain(&error), "a token was left out");
                }
                Err(error) => return Err(error),
            }
        }
        tokens.sort_by(|one, other| one.token.cmp(&other.token));
        Ok(tokens)
    }

    /// Whether there may be tokens: one look at the directory, and none at the files.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        // What is wrong with the directory is told by whoever reads the tokens.
        fs::read_dir(self.root.join("tokens")).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Forgets a token that nobody answers any more.
    pub fn remove_token(&self, token: &str) -> Result<(), Error> {
        let path = self.token_path(token)?;
        let _lock = self.lock_tokens()?;
        remove(&path)?;
        tracing::trace!(target: "hotcert::step", "store: token forgotten");
        Ok(())
    }

    /// Forgets a token that no node has any more, unless it is wanted again: an order that is resumed has the same tokens.
    pub fn remove_retired_token(&self, _lock: &AnswersLock, token: &str) -> Result<(), Error> {
        let path = self.token_path(token)?;
        let _lock = self.lock_tokens()?;
        if read::json::<Token>(&path)?.is_some_and(|stored| stored.wanted) {
            return Ok(());
        }
        remove(&path)?;
        tracing::trace!(target: "hotcert::step", "store: token removed");
        Ok(())
    }

    fn change_token(&self, token: &str, change: impl FnOnce(&mut Token)) -> Result<(), Error> {
        let path = self.token_path(token)?;
        let _lock = self.lock_tokens()?;
        let Some(mut token) = read::json(&path)? else { return Ok(()) };
        change(&mut token);
        self.write_json(&path, &token)
    }

    fn token_path(&self, token: &str) -> Result<PathBuf, Error> {
        Ok(self.root.join("tokens").join(format!("{}.json", checked(token)?)))
    }
}

/// A token comes from an authority and becomes a file name: base64url without padding, so never a path.
fn checked(token: &str) -> Result<&str, Error> {
    /// Longest token accepted; authorities use 43 characters.
    const LONGEST: usize = 128;
    let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if token.is_empty() || token.len() > LONGEST || !plain {
        let source = Invalid::new("challenge token", token, "it has other than 1 to 128 base64url characters");
        return Err(Error::FileName { source });
    }
    Ok(token)
}
