//! Authorities, and our relation to each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::DirectoryUrl;

/// An authority and our relation to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: String,
    /// Its ACME directory (RFC 8555, section 7.1.1); `None` for a private authority of our own.
    pub directory: Option<DirectoryUrl>,
    /// Mail addresses for the account.
    pub contact: Vec<String>,
    /// Whether the operator agreed to its terms of service.
    pub terms_agreed: bool,
    /// A PEM file with roots for its HTTPS, besides those of the system.
    pub root_ca: Option<PathBuf>,
    /// The directory of its staging environment, where that is not known by itself.
    #[serde(default)]
    pub staging: Option<DirectoryUrl>,
    /// The certificate profile to ask for (draft-ietf-acme-profiles).
    pub profile: Option<String>,
    /// Whose limits are kept to; `None` for those of Let's Encrypt at its own directory, and none elsewhere.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// How it knows us otherwise (RFC 8555, section 7.3.4).
    #[serde(default)]
    pub eab: Option<Eab>,
    /// The root to which the chains of its certificates should lead, by its common name.
    #[serde(default)]
    pub preferred_chain: Option<String>,
}

/// An account that an authority has given otherwise than by ACME.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eab {
    /// What the authority calls it; no secret.
    pub kid: String,
    /// The file with the key that they share, in base64 or base64url.
    pub hmac_key_file: PathBuf,
}

/// Limits on what may be asked of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limits {
    /// Those that Let's Encrypt publishes.
    Letsencrypt,
    /// None: the authority itself says what is too much.
    None,
}

impl Issuer {
    /// Whether orders are counted before they are made.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        match self.limits {
            Some(limits) => limits == Limits::Letsencrypt,
            None => self.directory.as_ref() == Some(&DirectoryUrl::letsencrypt()),
        }
    }

    /// A private authority of our own.
    pub(super) fn internal(name: String) -> Self {
        Self { name, directory: None, ..Self::letsencrypt() }
    }

    /// An authority of which only the directory is known.
    pub(super) fn at(directory: &DirectoryUrl) -> Self {
        Self { name: directory.short().to_owned(), directory: Some(directory.clone()), ..Self::letsencrypt() }
    }

    /// The authority's staging environment, where one is known: with the same account data, roots and profile, and no limits. One
    /// that is itself for tests is its own.
    #[must_use]
    pub fn at_staging(&self) -> Option<Self> {
        let (own, letsencrypt) = (self.directory.as_ref()?, DirectoryUrl::letsencrypt_staging());
        let (name, directory) = match &self.staging {
            Some(staging) => (format!("{}-staging", self.name), staging.clone()),
            None if *own == letsencrypt => (self.name.clone(), letsencrypt),
            None if *own == DirectoryUrl::letsencrypt() => (format!("{}-staging", self.name), letsencrypt),
            None => return None,
        };
        // Its roots have other names.
        let (limits, preferred_chain) = (Some(Limits::None), None);
        Some(Self { name, directory: Some(directory), limits, preferred_chain, ..self.clone() })
    }

    /// The authority when none is configured. Its terms are not agreed to by that.
    pub(super) fn letsencrypt() -> Self {
        Self {
            name: "letsencrypt".to_owned(),
            directory: Some(DirectoryUrl::letsencrypt()),
            contact: Vec::new(),
            terms_agreed: false,
            root_ca: None,
            staging: None,
            profile: None,
            limits: None,
            eab: None,
            preferred_chain: None,
        }
    }
}
