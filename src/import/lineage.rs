//! What another program manages, as far as its files tell.

use zeroize::Zeroizing;

use super::source::{Source, Unread};
use crate::acme::{AccountKey, ForeignKey};
use crate::model::{CertName, DirectoryUrl, Invalid, KeyKind};

/// A certificate that another program manages.
pub struct Lineage {
    /// Where it lies, for people.
    pub place: String,
    /// The name that it would have.
    pub name: Result<CertName, Invalid>,
    /// Which of the two it is, where the program has one of each kind under one name.
    pub kind: Option<KeyKind>,
    /// The files with the certificate and its key, or why they are not read.
    pub(super) contents: Result<Vec<Zeroizing<Vec<u8>>>, Unread>,
    /// Its authority, where the files tell.
    pub directory: Option<DirectoryUrl>,
    /// How the program proves the names.
    pub proof: Proof,
    /// The program that it runs after a renewal, for people.
    pub hook: Option<String>,
}

/// How another program proves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By http-01, in some way that hotcert does otherwise.
    Http,
    /// By http-01, with files in this document root.
    Webroot(String),
    /// By dns-01, with what is named here.
    Dns(String),
    /// By tls-alpn-01.
    TlsAlpn,
}

/// An account of another program at an authority.
pub struct ForeignAccount {
    /// Where it lies, for people.
    pub place: String,
    /// Its authority, where the files tell.
    pub directory: Option<DirectoryUrl>,
    /// Its URL, where the files tell.
    pub url: Option<String>,
    /// Its mail addresses.
    pub contact: Vec<String>,
    /// Its key, or why that cannot be used.
    pub key: Result<AccountKey, ForeignKey>,
    /// How many certificates say that they were ordered by it.
    pub users: usize,
}

/// All that another program manages in a directory.
#[derive(Default)]
pub struct Inventory {
    /// The certificates, by name.
    pub certificates: Vec<Lineage>,
    /// The accounts.
    pub accounts: Vec<ForeignAccount>,
    /// Programs that it runs after renewals of all certificates, for people.
    pub hooks: Vec<String>,
}

impl Lineage {
    /// One of which only the files are known.
    pub(super) fn new(source: &Source, place: &str, name: &str, files: [&str; 2]) -> Self {
        let read =
            |file: &str| source.bytes(&if place.is_empty() { file.to_owned() } else { format!("{place}/{file}") });
        Self {
            place: source.shown(place),
            name: CertName::from_user(name),
            kind: None,
            contents: files.into_iter().map(read).collect(),
            directory: None,
            proof: Proof::Http,
            hook: None,
        }
    }

    /// The files as the gate takes them; none when they could not be read.
    pub(super) fn inputs(&self) -> Vec<&[u8]> {
        self.contents.iter().flatten().map(|file| file.as_slice()).collect()
    }
}

impl Inventory {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.accounts.is_empty()
    }
}
