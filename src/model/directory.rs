//! Where an authority is.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// The URL of an authority's directory (RFC 8555, section 7.1.1): `https`, or one of the names that everybody knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryUrl(String);

impl DirectoryUrl {
    /// The names that stand for a URL, in the order that help texts show.
    ///
    /// SSL.com has two directories and wants the one that fits the certificate's key: this is the one for ECDSA, our default.
    pub const NAMES: [(&'static str, &'static str); 6] = [
        ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
        ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("zerossl", "https://acme.zerossl.com/v2/DV90"),
        ("google", "https://dv.acme-v02.api.pki.goog/directory"),
        ("actalis", "https://acme-api.actalis.com/acme/directory"),
        ("sslcom", "https://acme.ssl.com/sslcom-dv-ecc"),
    ];

    /// Let's Encrypt, the authority when none is named.
    #[must_use]
    pub fn letsencrypt() -> Self {
        Self(Self::NAMES[0].1.to_owned())
    }

    /// Let's Encrypt's staging environment.
    #[must_use]
    pub fn letsencrypt_staging() -> Self {
        Self(Self::NAMES[1].1.to_owned())
    }

    /// The name by which everybody knows it, or the URL.
    #[must_use]
    pub fn short(&self) -> &str {
        Self::NAMES.iter().find(|(_, url)| *url == self.0).map_or(&self.0, |(name, _)| name)
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DirectoryUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("directory of an authority", text, reason));
        if let Some((_, url)) = Self::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self((*url).to_owned()));
        }
        let Ok(url) = text.parse::<http::Uri>() else {
            return refuse("it is neither a known name nor a URL");
        };
        match (url.scheme_str(), url.authority()) {
            (Some("https"), Some(authority)) if authority.as_str().contains('@') => {
                refuse("a user name or password in the URL would show in logs; ACME needs none")
            }
            (Some("https"), Some(authority)) if !authority.host().is_empty() => Ok(Self(text.to_owned())),
            (Some(_), _) => refuse("ACME is spoken over https only (RFC 8555, section 6.1)"),
            (None, _) => {
                refuse("use letsencrypt, letsencrypt-staging, zerossl, google, actalis, sslcom, or an https URL")
            }
        }
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(DirectoryUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_encrypt_and_its_staging_environment_are_what_they_are_called() {
        assert_eq!(DirectoryUrl::letsencrypt().short(), "letsencrypt");
        assert_eq!(DirectoryUrl::letsencrypt_staging().short(), "letsencrypt-staging");
    }

    #[test]
    fn every_known_name_stands_for_a_valid_url() {
        for (name, url) in DirectoryUrl::NAMES {
            let by_name: DirectoryUrl = name.parse().unwrap();
            assert_eq!(by_name.as_str(), url);
            assert_eq!(url.parse(), Ok(by_name));
        }
    }

    #[test]
    fn only_https_urls_without_credentials_are_accepted() {
        for bad in
            ["", "letsencrypt2", "http://ca.test/dir", "https://", "https:///dir", "https://u:p@ca.test/", "/dir"]
        {
            assert!(bad.parse::<DirectoryUrl>().is_err(), "{bad:?}");
        }
        assert!("https://[::1]:14000/dir".parse::<DirectoryUrl>().is_ok());
    }
}
