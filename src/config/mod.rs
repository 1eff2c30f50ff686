//! The configuration: a file, flags, and what the store remembers, checked and merged.
//!
//! Owns the syntax of the file ([`Config::load`]), the precedence (flags, then the file, then what `issue` and `push`
//! remembered) and the defaults. Problems are reported all at once, each with its place.

mod certificate;
mod flags;
mod issuer;
mod issuers;
pub mod kinds;
mod node;
mod parse;
mod problem;
mod read;
mod receiver;
mod remembered;
mod solver;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

pub use certificate::{Certificate, Order, Require};
pub use flags::{Flags, OrderFlags, absolute_address};
pub use issuer::{Eab, Issuer, Limits};
pub use node::{Node, PushPace};
pub use parse::check_mail;
pub use problem::{Error, Problem};
pub use read::Setting;
pub use receiver::{Occasion, Receiver, Target};
pub use remembered::Remembered;
pub use solver::{Dns, Method, Solver, Via};

use crate::model::{CertName, NodeName, TicketFile};

/// Read when no other file is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/hotcert/hotcert.toml";
/// Accounts, keys and generations live here unless the configuration says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/hotcert";
/// Where the http-01 listener waits for `HAProxy` unless the configuration says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 63443);

/// Where the tls-alpn-01 responder waits for `HAProxy` unless the configuration says otherwise.
pub const DEFAULT_ALPN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 63444);

/// How long a session ticket key encrypts unless the configuration says otherwise: that of servers that do it by themselves.
pub const DEFAULT_ROTATION: SignedDuration = SignedDuration::from_hours(12);

/// Everything that is configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where accounts, keys and generations are.
    pub state_dir: PathBuf,
    /// Files with further roots that may end a chain.
    pub trust: Vec<PathBuf>,
    /// The DNS servers that are asked; none for those of the system.
    pub resolver: Vec<SocketAddr>,
    /// The authorities, by name.
    pub issuers: BTreeMap<String, Issuer>,
    /// The ways to answer challenges, by name.
    pub solvers: BTreeMap<String, Solver>,
    /// The `HAProxy` instances, by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The certificates, by name.
    pub certificates: BTreeMap<CertName, Certificate>,
    /// Those of them that are not in the file, but remembered.
    pub remembered: BTreeSet<CertName>,
    /// The session ticket keys that nodes share; `None` when that is left to `HAProxy`.
    pub ticket_keys: Option<TicketKeys>,
    /// The directories in which other programs put certificates.
    pub watches: Vec<Watch>,
    /// Who is told of what happens.
    pub receivers: Vec<Receiver>,
    /// Where it is shown over HTTP how things stand; `None` when nowhere.
    pub observe: Option<Observe>,
    /// Which nodes must be there for a new certificate, where the certificate itself does not say it.
    pub require: Require,
    /// Effective values, and where each came from, in the order of the file.
    pub settings: Vec<Setting>,
    /// What is accepted and has no effect.
    pub warnings: Vec<String>,
    /// Files that are named and cannot be read by who asks. Others may, or they come later: it is told by `config check` alone.
    pub unreadable: Vec<Problem>,
}

/// Session ticket keys that nodes share, so that a session that began on one is resumed on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketKeys {
    /// The file after `tls-ticket-keys` on bind lines; it is written for the next start.
    pub file: TicketFile,
    /// The nodes; empty for all.
    pub nodes: Vec<NodeName>,
    /// How long a key encrypts. It waits for as long before that, and decrypts for as long after it.
    pub rotate: SignedDuration,
}

/// Where it is shown over HTTP how things stand. Whoever can connect may read it, and nobody can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observe {
    /// The address; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Whether others than this machine may ask.
    pub insecure: bool,
}

/// A directory in which another program puts certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The directory, absolute.
    pub dir: PathBuf,
    /// How certificates lie in it.
    pub layout: Layout,
}

/// How certificates lie in a watched directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Whatever is found: all of the following, and what lego, acme.sh and dehydrated write.
    #[default]
    Auto,
    /// Files with certificate and key in one.
    Pem,
    /// A certificate file and a key file beside it.
    Pair,
    /// A directory for each certificate, with `fullchain.pem` and `privkey.pem`.
    Certbot,
    /// Mounted secrets: `tls.crt` and `tls.key`.
    Kubernetes,
}

impl std::str::FromStr for Layout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "pem" => Self::Pem,
            "pair" => Self::Pair,
            "certbot" => Self::Certbot,
            "kubernetes" => Self::Kubernetes,
            _ => return Err("must be auto, pem, pair, certbot or kubernetes"),
        })
    }
}

impl Config {
    /// Reads the file, if there is one, and lays the flags over it.
    ///
    /// Without `file`, [`DEFAULT_FILE`] is read if it exists. What the store remembers is added by [`Config::recall`], since
    /// the store is found only by what is loaded here.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, Error> {
        let default = Path::new(DEFAULT_FILE);
        let path = match file {
            Some(path) => Some(path),
            None => default.exists().then_some(default),
        };
        let mut config = match path {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
                parse::parse(path, &text)?
            }
            None => Self { settings: Vec::new(), ..parse::parse(Path::new(""), "version = 1")? },
        };
        flags.lay_over(&mut config);
        Ok(config)
    }

    /// The same with no more than these certificates, and without where each value came from.
    #[must_use]
    pub fn with_only(&self, names: &BTreeSet<CertName>) -> Self {
        let certificates = names.iter().filter_map(|name| self.certificates.get_key_value(name));
        Self {
            state_dir: self.state_dir.clone(),
            trust: self.trust.clone(),
            resolver: self.resolver.clone(),
            issuers: self.issuers.clone(),
            solvers: self.solvers.clone(),
            nodes: self.nodes.clone(),
            certificates: certificates.map(|(name, certificate)| (name.clone(), certificate.clone())).collect(),
            remembered: names.intersection(&self.remembered).cloned().collect(),
            ticket_keys: self.ticket_keys.clone(),
            watches: self.watches.clone(),
            receivers: self.receivers.clone(),
            observe: self.observe,
            require: self.require,
            settings: Vec::new(),
            warnings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Whether a directory is one in which other programs write certificates.
    #[must_use]
    pub fn is_watched(&self, directory: &Path) -> bool {
        // Whatever way leads there; one that does not exist is the same by name alone.
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        !self.watches.is_empty() && self.watches.iter().any(|watch| real(&watch.dir) == real(directory))
    }

    /// Whether every node of a certificate must be there when a new generation is loaded.
    #[must_use]
    pub fn requires_all(&self, certificate: &Certificate) -> bool {
        certificate.require.unwrap_or(self.require) == Require::All
    }

    /// What answers where a certificate does not say it: the only solver that there is, or those that are for certain names, and
    /// after them the one that is for all.
    fn default_solvers(&self) -> Vec<Solver> {
        solver::default_solvers(&self.solvers).unwrap_or_default()
    }

    /// The nodes that share session ticket keys.
    pub fn ticket_nodes<'a>(&'a self, keys: &'a TicketKeys) -> impl Iterator<Item = &'a Node> {
        self.nodes.values().filter(|node| keys.nodes.is_empty() || keys.nodes.contains(&node.name))
    }

    /// The nodes that serve a certificate.
    pub fn nodes_of<'a>(&'a self, certificate: &'a Certificate) -> impl Iterator<Item = &'a Node> {
        self.nodes.values().filter(|node| certificate.nodes.is_empty() || certificate.nodes.contains(&node.name))
    }
}
