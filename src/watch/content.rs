//! Reading a certificate and its key so that both belong together, and seeing what they are.

use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::Error;
use super::listing::Stamp;
use crate::bundle::pem::Malformed;
use crate::bundle::{Bundle, Check, Refusal};
use crate::model::{CertName, Facts, Sha256};
use crate::store;

/// What stands in every block with a key.
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";

/// The contents of a certificate file, and of its key file where the key is not in the first.
pub(super) struct Contents(Vec<Zeroizing<Vec<u8>>>);

/// What contents turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    /// Not read yet.
    Unread,
    /// No certificate to serve: a text, parameters, a bundle of authorities.
    Nothing,
    /// A certificate with its key.
    Certificate(Identity),
    /// It should be one, and is not.
    Broken(Box<Error>),
}

/// By what contents are told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// A digest of all of it.
    pub(super) contents: Sha256,
    /// The fingerprint of the leaf.
    pub(super) leaf: Sha256,
    /// How many intermediates follow it.
    pub(super) chain_length: usize,
}

impl Contents {
    /// Reads both files; an error when one of them changed meanwhile, so that what is read was there at one instant.
    pub(super) fn read(certificate: &Path, key: Option<&Path>) -> Result<Self, Error> {
        let before = [stamp(certificate)?, key.map(stamp).transpose()?.flatten()];
        let mut contents = vec![file(certificate)?];
        if let Some(key) = key.filter(|_| !has_key(&contents[0])) {
            contents.push(file(key)?);
        }
        let after = [stamp(certificate)?, key.map(stamp).transpose()?.flatten()];
        if before == after { Ok(Self(contents)) } else { Err(Error::Changing) }
    }

    pub(super) fn inputs(&self) -> Vec<&[u8]> {
        self.0.iter().map(|part| part.as_slice()).collect()
    }

    /// A digest of the whole, by which a change is recognised. It tells nothing about a key, which nobody can guess.
    pub(super) fn digest(&self) -> Sha256 {
        let parts: Vec<String> = self.0.iter().map(|part| Sha256::of(part).to_string()).collect();
        Sha256::of(parts.concat().as_bytes())
    }

    /// What the leaf says, when it stands first.
    pub(super) fn facts(&self) -> Option<Facts> {
        Facts::read_pem(&self.0[0])
    }

    /// Sees what it is. What is `expected` to be a certificate is broken when it is none.
    pub(super) fn identify(&self, name: &CertName, expected: bool) -> Found {
        let check = match Bundle::reopen(name, &self.inputs()) {
            Ok(bundle) => {
                return Found::Certificate(Identity {
                    contents: self.digest(),
                    leaf: bundle.facts().sha256,
                    chain_length: bundle.chain().len(),
                });
            }
            Err(Refusal { check, .. }) => check,
        };
        let is_foreign = match &check {
            Check::Pem(Malformed::Empty | Malformed::Binary | Malformed::NoBlock | Malformed::TooLong { .. })
            | Check::NoCertificate { .. } => true,
            Check::KeyMissing => Facts::is_authority(&self.0[0]),
            _ => false,
        };
        if is_foreign && !expected {
            return Found::Nothing;
        }
        Found::Broken(Box::new(Refusal { name: name.clone(), check }.into()))
    }
}

fn has_key(contents: &[u8]) -> bool {
    contents.windows(KEY_MARK.len()).any(|window| window == KEY_MARK)
}

fn stamp(path: &Path) -> Result<Option<Stamp>, Error> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(Stamp::of(&found))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // What is wrong is said, with its path, by whoever reads it next.
        Err(_) => store::read_file(path).map(|_| None).map_err(Error::Read),
    }
}

fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Gone since it was listed: the next look will tell.
    store::read_file(path).map_err(Error::Read)?.ok_or(Error::Changing)
}
