//! Where a node is reached, together with what it takes to be let in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Address;

/// The files for a node behind TLS: hotcert shows a certificate of its own, and believes one authority. They are read at each
/// connection, so that whoever renews them need not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTls {
    /// PEM with the only roots that may have signed the node's certificate.
    pub ca: PathBuf,
    /// PEM with the certificate to show, and its intermediates.
    pub cert: PathBuf,
    /// PEM with its private key.
    pub key: PathBuf,
}

/// An address, and the files for it when it is one behind TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// Where.
    pub address: &'a Address,
    /// For [`Address::Tls`], which cannot be reached without; no other has them.
    pub tls: Option<&'a ClientTls>,
}

impl<'a> From<&'a Address> for Endpoint<'a> {
    fn from(address: &'a Address) -> Self {
        Self { address, tls: None }
    }
}
