//! Flags that stand for an authority, an account there and a solver.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PathBufValueParser, TypedValueParser};
use serde::{Deserialize, Serialize};

use super::absolute;
use crate::config::{Eab, OrderFlags};
use crate::model::{Authority, CertName, DirectoryUrl, KeyType};

/// Flags that stand for an authority.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct Ca {
    /// ACME directory: letsencrypt, letsencrypt-staging, zerossl, google, actalis, sslcom or an https URL
    #[arg(long, value_name = "URL|NAME")]
    pub directory: Option<DirectoryUrl>,
    /// PEM file with roots that the authority's HTTPS may use, besides those of the system
    #[arg(long, value_name = "FILE", value_parser = PathBufValueParser::new().map(absolute))]
    pub root_ca: Option<PathBuf>,
}

/// Flags for a new account at an authority.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct Terms {
    /// Mail address for the account at the authority; may be repeated
    #[arg(long, value_name = "MAIL")]
    pub contact: Vec<String>,
    /// Agree to the authority's terms of service
    #[arg(long = "agree-terms")]
    pub agree: bool,
    /// Name of the external account, where the authority wants new accounts to be bound to one
    #[arg(long, value_name = "KID", requires = "eab_hmac_key_file", value_parser = NonEmptyStringValueParser::new())]
    pub eab_kid: Option<String>,
    /// File with the HMAC key of the external account, as the authority shows it
    #[arg(long, value_name = "FILE", requires = "eab_kid", value_parser = PathBufValueParser::new().map(absolute))]
    pub eab_hmac_key_file: Option<PathBuf>,
}

impl Terms {
    pub(super) fn eab(&self) -> Option<Eab> {
        let (kid, hmac_key_file) = self.eab_kid.clone().zip(self.eab_hmac_key_file.clone())?;
        Some(Eab { kid, hmac_key_file })
    }
}

/// Flags that stand for an issuer and a solver.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Ordering")]
pub struct Ordering {
    /// Flags for the authority.
    #[command(flatten)]
    pub ca: Ca,
    /// Flags for a new account there.
    #[command(flatten)]
    pub terms: Terms,
    /// Flags for the challenges.
    #[command(flatten)]
    pub answering: Answering,
    /// Key type: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096; give one of each kind to serve both [default: ecdsa-p256]
    #[arg(long, value_name = "TYPE")]
    pub key: Vec<KeyType>,
    /// Certificate profile to ask for
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

/// Flags that stand for a solver.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct Answering {
    /// Answer http-01 by a listener there, to which HAProxy routes the challenges [default: 127.0.0.1:63443]
    #[arg(long, value_name = "ADDR", group = "via", value_parser = listening)]
    pub http_01_listen: Option<SocketAddr>,
    /// Answer http-01 by HAProxy, from this map
    #[arg(long, value_name = "MAP", group = "via")]
    pub http_01_map: Option<String>,
    /// Answer http-01 by HAProxy, from the account's thumbprint in its configuration
    #[arg(long, group = "via")]
    pub http_01_stateless: bool,
    /// Answer http-01 by a web server with this document root
    #[arg(long, value_name = "DIR", group = "via", value_parser = PathBufValueParser::new().map(absolute))]
    pub webroot: Option<PathBuf>,
    /// Answer tls-alpn-01 there; HAProxy passes the handshakes on, see `hotcert config haproxy`
    #[arg(long, value_name = "ADDR", group = "via", value_parser = listening)]
    pub tls_alpn_01_listen: Option<SocketAddr>,
    /// Where the pre-flight asks for a challenge [default: port 80 of what the DNS says]
    #[arg(long, value_name = "ADDR")]
    pub http_01_probe: Option<Authority>,
}

impl Ordering {
    /// The flags, with the name of the certificate.
    pub(in crate::cli) fn flags(&self, cert_name: Option<CertName>) -> OrderFlags {
        OrderFlags {
            key: self.key.clone(),
            profile: self.profile.clone(),
            cert_name,
            ..self.answering.flags(&self.ca, &self.terms)
        }
    }
}

impl Answering {
    /// The flags, with those for the authority.
    pub(in crate::cli) fn flags(&self, ca: &Ca, terms: &Terms) -> OrderFlags {
        OrderFlags {
            directory: ca.directory.clone(),
            root_ca: ca.root_ca.clone(),
            contact: terms.contact.clone(),
            agree_terms: terms.agree,
            eab: terms.eab(),
            http_01_listen: self.http_01_listen,
            http_01_map: self.http_01_map.clone(),
            http_01_stateless: self.http_01_stateless,
            webroot: self.webroot.clone(),
            tls_alpn_01_listen: self.tls_alpn_01_listen,
            http_01_probe: self.http_01_probe.clone(),
            ..OrderFlags::default()
        }
    }
}

/// Where hotcert listens.
fn listening(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it is no IP address with a port: use one such as 127.0.0.1:63443 or [::1]:63443".to_owned())
}
