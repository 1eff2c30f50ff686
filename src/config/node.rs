//! One `HAProxy` instance, as it is configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{Address, Authority, ClientFile, ClientTls, Endpoint, NodeName, Slot};

/// One `HAProxy` instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its stats socket, or its master's where that is all that is known; it tells one node from another.
    pub socket: Address,
    /// Its master's socket, besides the stats socket; see [`Node::master`].
    #[serde(default)]
    pub master: Option<Address>,
    /// The files with which one behind TLS is reached.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// Where files for its next start are published.
    pub crt_dir: Option<PathBuf>,
    /// The same directory as `HAProxy` names it.
    pub haproxy_crt_dir: Option<String>,
    /// The crt-list to which new certificates are attached, as `HAProxy` names it.
    pub crt_list: Option<String>,
    /// Where to shake hands to prove what is served.
    pub verify: Vec<Authority>,
    /// Who owns published files, by name or number.
    pub owner: Option<String>,
    /// The group of published files, by name or number.
    pub group: Option<String>,
    /// The mode of published files.
    pub mode: Option<u32>,
    /// How fast many certificates follow each other.
    #[serde(default)]
    pub push_pace: PushPace,
    /// Files with the authorities of clients, as `HAProxy` names them, which is where they are.
    #[serde(default)]
    pub ca_files: Vec<Slot>,
    /// Files with their revocation lists, likewise.
    #[serde(default)]
    pub crl_files: Vec<Slot>,
}

/// How fast many certificates are pushed into a node, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushPace {
    /// `HAProxy` gets as much time for its clients after each as it took for the certificate.
    #[default]
    Adaptive,
    /// As fast as it takes them.
    Full,
}

impl PushPace {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Adaptive, Self::Full];

    /// As it stands in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Full => "full",
        }
    }
}

impl Node {
    /// The socket through which old workers are reached, where it is known.
    #[must_use]
    pub fn master(&self) -> Option<&Address> {
        self.master.as_ref().or_else(|| Some(&self.socket).filter(|socket| matches!(socket, Address::Master(_))))
    }

    /// How its stats socket is reached.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint<'_> {
        Endpoint { address: &self.socket, tls: self.tls.as_ref() }
    }

    /// The files by which it judges clients, authorities first.
    pub fn client_files(&self) -> impl Iterator<Item = (ClientFile, &Slot)> {
        let authorities = self.ca_files.iter().map(|file| (ClientFile::CaFile, file));
        authorities.chain(self.crl_files.iter().map(|file| (ClientFile::CrlFile, file)))
    }

    /// The directory of published files, as `HAProxy` names it.
    #[must_use]
    pub fn directory(&self) -> Option<String> {
        let own = || self.crt_dir.as_ref().map(|directory| directory.display().to_string());
        self.haproxy_crt_dir.clone().or_else(own).map(|directory| directory.trim_end_matches('/').to_owned())
    }
}
