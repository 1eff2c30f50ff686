//! The configuration: a file, flags, and what the store remembers, checked and merged.
//!
//! Owns the syntax of the file ([`Config::load`]), the precedence (flags, then the file, then what `issue` and `push`
//! remembered) and the defaults. Problems are reported all at once, each with its place.

mod flags;
mod issuer;
mod issuers;
pub mod kinds;
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
use serde::{Deserialize, Serialize};

pub use flags::{Flags, OrderFlags, absolute_address};
pub use issuer::{Eab, Issuer, Limits};
pub use parse::check_mail;
pub use problem::{Error, Problem};
pub use read::Setting;
pub use receiver::{Occasion, Receiver, Target};
pub use remembered::Remembered;
pub use solver::{Dns, Method, Solver, Via};

use crate::model::{
    Address, Authority, CertName, ClientFile, ClientTls, Endpoint, Identifier, KeyKind, KeyType, NodeName, Slot,
    TicketFile,
};

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

/// One managed certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its name.
    pub name: CertName,
    /// Which of the two it is, where one name stands for a certificate of each kind: `example.org` for `example.org.ecdsa` and
    /// `example.org.rsa`. Otherwise `None`, whatever its key is.
    #[serde(default)]
    pub kind: Option<KeyKind>,
    /// What it must cover, in the order given.
    pub domains: Vec<Identifier>,
    /// How it is ordered; `None` when it is only pushed.
    pub order: Option<Order>,
    /// The nodes that serve it; empty for all.
    pub nodes: Vec<NodeName>,
    /// The crt-list to which it is attached, instead of the node's.
    pub crt_list: Option<String>,
    /// Options of its crt-list entry, such as `[alpn h2]`.
    pub options: Option<String>,
    /// SNI filters of its crt-list entry.
    pub filters: Vec<String>,
    /// The name by which `HAProxy` knows it, instead of a file in a node's directory.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// The file that `HAProxy` reads at its next start, where the slot does not tell.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Whether the file for `HAProxy`'s next start is written.
    pub publish: bool,
    /// Which of its nodes must be there when a new one is loaded; `None` for what holds for all.
    #[serde(default)]
    pub require: Option<Require>,
}

/// Which nodes of a certificate must be there when a new generation of it is loaded. Whichever it is, one node that is there
/// and refuses keeps it from all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Those that can be reached; the others get it when they come back.
    #[default]
    Reachable,
    /// All of them; until then none gets it.
    All,
}

impl std::str::FromStr for Require {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reachable" => Ok(Self::Reachable),
            "all" => Ok(Self::All),
            _ => Err("must be reachable or all"),
        }
    }
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

/// How a certificate is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The authorities, in order of preference.
    pub issuers: Vec<Issuer>,
    /// What answers the challenges, in order of preference: for each name the first that fits.
    pub solvers: Vec<Solver>,
    /// Its key type. Two, one of each kind, only until it is [taken apart](Certificate::members).
    pub keys: Vec<KeyType>,
}

impl Order {
    /// Whether no authority has to be shown that the names are ours, because all issuers are our own.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.directory.is_none())
    }

    /// The authorities in the order in which they are asked, one of which may come before all others.
    pub fn issuers_after(&self, is_first: impl Fn(&Issuer) -> bool) -> impl Iterator<Item = &Issuer> {
        let first = self.issuers.iter().position(is_first);
        let others = self.issuers.iter().enumerate().filter(move |(index, _)| Some(*index) != first);
        first.map(|index| &self.issuers[index]).into_iter().chain(others.map(|(_, issuer)| issuer))
    }
}

impl Certificate {
    /// One of which only the name is known: not ordered, on all nodes, published.
    #[must_use]
    pub fn new(name: CertName) -> Self {
        Self {
            name,
            kind: None,
            domains: Vec::new(),
            order: None,
            nodes: Vec::new(),
            crt_list: None,
            options: None,
            filters: Vec::new(),
            slot: None,
            file: None,
            publish: true,
            require: None,
        }
    }

    /// The file that `HAProxy` reads at its next start, as far as the configuration tells.
    #[must_use]
    pub fn file_on(&self, node: &Node) -> Option<PathBuf> {
        let of_slot = |slot: &Slot| Some(PathBuf::from(slot.as_str())).filter(|path| path.is_absolute());
        match (&self.file, &self.slot) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(slot)) => of_slot(slot),
            (None, None) => node.crt_dir.as_ref().map(|directory| directory.join(self.file_name())),
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
