//! Takes over what certbot, acme.sh, lego or dehydrated manage: names, keys, certificates, and accounts where key kinds allow.
//!
//! Owns the formats of these programs, a file for each, and what is adopted of what they tell ([`Importer`]). Nothing is ordered, no
//! authority is asked, and nothing of theirs is changed: their directory is read within bounds, and links that lead out of it are
//! not followed. A certificate takes the road of all others: the gate, a generation, and how it is ordered is remembered, so that
//! `renew` renews it. Doing it twice changes nothing.

mod account;
mod acme_sh;
mod adopt;
mod certbot;
mod dehydrated;
mod jobs;
mod lego;
mod lineage;
mod settings;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use account::{AccountFate, Why};
pub use adopt::{Adopted, Error as NotAdopted, Fate, Importer, unprovable};
pub use jobs::jobs;
pub use lineage::{ForeignAccount, Inventory, Lineage, Proof};

use crate::config::check_mail;
use crate::model::{DirectoryUrl, Invalid, printable};
use source::Source;

/// A program whose certificates can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// certbot
    Certbot,
    /// acme.sh
    AcmeSh,
    /// lego
    Lego,
    /// dehydrated
    Dehydrated,
}

/// A directory cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be listed.
    #[error("cannot read the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is nothing of the program in it.
    #[error("there is nothing of {program} in {}", path.display())]
    Nothing {
        /// The program.
        program: Program,
        /// The directory.
        path: PathBuf,
    },
    /// The settings in it say that the certificates lie elsewhere.
    #[error("what is in {} belongs to {elsewhere}", path.display())]
    Elsewhere {
        /// The directory.
        path: PathBuf,
        /// The directory that the settings name.
        elsewhere: String,
    },
}

/// Reads what a program manages in a directory. `known` are directories of authorities that the files may name by their host alone.
pub fn read(program: Program, directory: &Path, known: &[DirectoryUrl]) -> Result<Inventory, Error> {
    let source = Source::open(directory)?;
    let inventory = match program {
        Program::Certbot => certbot::read(&source),
        Program::AcmeSh => acme_sh::read(&source)?,
        Program::Lego => lego::read(&source, known),
        Program::Dehydrated => dehydrated::read(&source)?,
    };
    if inventory.is_empty() {
        return Err(Error::Nothing { program, path: directory.to_owned() });
    }
    Ok(inventory)
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Certbot, Self::AcmeSh, Self::Lego, Self::Dehydrated];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certbot => "certbot",
            Self::AcmeSh => "acme.sh",
            Self::Lego => "lego",
            Self::Dehydrated => "dehydrated",
        }
    }

    /// What lies in its directory, and where that is by default.
    const fn layout(self) -> &'static str {
        match self {
            Self::Certbot => "live/ and renewal/, as /etc/letsencrypt",
            Self::AcmeSh => "a directory for each domain, as ~/.acme.sh",
            Self::Lego => "certificates/, as the directory .lego where it was run",
            Self::Dehydrated => "certs/ and accounts/, as /var/lib/dehydrated",
        }
    }
}

impl FromStr for Program {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|program| program.as_str() == text);
        known.ok_or_else(|| Invalid::new("program", text, "use certbot, acme.sh, lego or dehydrated"))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Directory { .. } => {
                "name the directory of the program, and run this as a user who may read it".to_owned()
            }
            Self::Nothing { program, .. } => format!("name the directory that has {}", program.layout()),
            Self::Elsewhere { elsewhere, .. } => format!("import {elsewhere}"),
        }
    }
}

/// The directory of an authority; only https is spoken to one.
fn https(url: &str) -> Option<DirectoryUrl> {
    url.starts_with("https://").then(|| url.parse().ok()).flatten()
}

/// The mail addresses among contacts.
fn mails<'a>(contacts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    /// The longest path (RFC 5321, section 4.5.3.1.3).
    const LONGEST: usize = 256;
    let mails = contacts.into_iter().map(|contact| contact.strip_prefix("mailto:").unwrap_or(contact));
    mails.filter(|mail| mail.len() <= LONGEST && check_mail(mail).is_ok()).map(str::to_owned).collect()
}

/// A directory that settings name, as a path below the one that is read. `base` is how they call that one.
fn subdirectory(source: &Source, base: Option<&str>, path: &str) -> Result<String, Error> {
    /// Longest path that is told, in characters.
    const SHOWN: usize = 300;
    let elsewhere = || Error::Elsewhere { path: source.root().to_owned(), elsewhere: printable(path, SHOWN) };
    // What was moved, or is mounted elsewhere, still calls itself by its old name.
    let renamed = base.and_then(|base| Path::new(path).strip_prefix(base).ok().map(Path::to_owned));
    let real = std::fs::canonicalize(path).ok();
    let real = || real.as_deref().and_then(|real| real.strip_prefix(source.root()).ok()).map(Path::to_owned);
    let below = renamed.or_else(real).ok_or_else(elsewhere)?;
    below.to_str().map(|below| format!("./{below}")).ok_or_else(elsewhere)
}
