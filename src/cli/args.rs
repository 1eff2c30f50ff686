//! The words of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PathBufValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::{Eab, Flags, OrderFlags};
use crate::daemon::Role;
use crate::model::{Address, Authority, CertName, DirectoryUrl, Identifier, KeyType, RevocationReason};

/// Order TLS certificates by ACME and load them into the running HAProxy, without a reload.
#[derive(Debug, Parser)]
#[command(name = "hotcert", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 something needs a look, 64 wrong usage, 75 try again later, 78 wrong configuration."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file [default: /etc/hotcert/hotcert.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Print one JSON document on standard output, also on failure
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Say more on standard error: each step, -vv details, -vvv every command
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", help_heading = "Global options")]
    pub verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Whether to colour messages
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: Color,
    /// Where accounts, keys and generations are kept [default: /var/lib/hotcert]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub state_dir: Option<PathBuf>,
}

/// Whether messages are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When standard error is a terminal, and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Order one certificate for these names, store it, load it, prove it is served
    Issue(Box<Issue>),
    /// Renew what is due, and load it
    Renew(Renew),
    /// Load a certificate file now
    Push(Push),
    /// Show what would change, change nothing; exit 2 when there is drift
    Plan(Nodes),
    /// Make HAProxy serve what is stored: one round, then exit
    Sync(Nodes),
    /// The sidecar: renew, watch and reconcile until stopped
    Run(Run),
    /// Show what is stored, what each node serves, what is due; exit 2 when something needs a look
    Status(Status),
    /// List the certificates, one a line
    List,
    /// Go back to the previous generation of a certificate
    Rollback(Rollback),
    /// Revoke a certificate at its authority; with --detach, also stop serving it
    Revoke(Revoke),
    /// Forget a certificate; with --detach, also take it out of HAProxy
    Delete(Delete),
    /// Write what HAProxy holds in memory and no file has to disk (HAProxy 3.1 and up)
    Dump(Dump),
    /// Show and change the accounts at authorities
    #[command(subcommand)]
    Account(Account),
    /// The private authority of our own, for development and inside networks
    #[command(subcommand)]
    Internal(Internal),
    /// Check and show the configuration, and the lines that HAProxy needs
    #[command(subcommand)]
    Config(Config),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Flags that stand for nodes; they win over the configuration.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[command(next_help_heading = "HAProxy")]
pub struct Nodes {
    /// Stats socket of a HAProxy: a path or tcp://host:port; repeat it for more nodes
    #[arg(long = "socket", value_name = "ADDR")]
    pub sockets: Vec<Address>,
    /// Directory in which HAProxy finds certificates at its next start
    #[arg(long, value_name = "DIR")]
    pub crt_dir: Option<PathBuf>,
    /// Where to shake hands to prove what is served, as in 127.0.0.1:443; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub verify: Vec<Authority>,
}

impl Nodes {
    /// The flags, with those of every command.
    pub(super) fn flags(&self, global: &Global) -> Flags {
        Flags {
            sockets: self.sockets.clone(),
            crt_dir: self.crt_dir.clone(),
            verify: self.verify.clone(),
            state_dir: global.state_dir.clone(),
        }
    }
}

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
    fn eab(&self) -> Option<Eab> {
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
    /// Answer http-01 by a listener there, to which HAProxy routes the challenges [default: 127.0.0.1:63443]
    #[arg(long, value_name = "ADDR", group = "via")]
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
    #[arg(long, value_name = "ADDR", group = "via")]
    pub tls_alpn_01_listen: Option<SocketAddr>,
    /// Where the pre-flight asks for a challenge [default: port 80 of what the DNS says]
    #[arg(long, value_name = "ADDR")]
    pub http_01_probe: Option<Authority>,
    /// Key type: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096; give one of each kind to serve both [default: ecdsa-p256]
    #[arg(long, value_name = "TYPE")]
    pub key: Vec<KeyType>,
    /// Certificate profile to ask for
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

impl Ordering {
    /// The flags, with the name of the certificate.
    pub(super) fn flags(&self, cert_name: Option<CertName>) -> OrderFlags {
        OrderFlags {
            directory: self.ca.directory.clone(),
            root_ca: self.ca.root_ca.clone(),
            contact: self.terms.contact.clone(),
            agree_terms: self.terms.agree,
            eab: self.terms.eab(),
            http_01_listen: self.http_01_listen,
            http_01_map: self.http_01_map.clone(),
            http_01_stateless: self.http_01_stateless,
            webroot: self.webroot.clone(),
            tls_alpn_01_listen: self.tls_alpn_01_listen,
            http_01_probe: self.http_01_probe.clone(),
            key: self.key.clone(),
            profile: self.profile.clone(),
            cert_name,
        }
    }
}

/// `issue`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Issue {
    /// Domain names (with accents as typed) or IP addresses
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Identifier>,
    /// Name of the certificate [default: the first name]
    #[arg(long, value_name = "NAME", value_parser = CertName::from_user)]
    pub cert_name: Option<CertName>,
    /// Order even if the stored certificate is good for long, and drop names that are served now
    #[arg(long)]
    pub force: bool,
    /// Do all of it at the authority's staging environment: prove the names, keep and load nothing
    #[arg(long)]
    #[serde(default)]
    pub dry_run: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// Flags for ordering.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// `renew`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Renew {
    /// Certificates [default: all]
    #[arg(value_name = "CERT", value_parser = CertName::from_user)]
    pub certificates: Vec<CertName>,
    /// Renew whether due or not
    #[arg(long)]
    pub force: bool,
    /// Show what would be ordered, order nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `push`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Push {
    /// PEM file with the leaf, its intermediates and, if it is not a second file, the key
    #[arg(value_name = "PEM")]
    pub pem: PathBuf,
    /// PEM file with the key
    #[arg(value_name = "KEY")]
    pub key: Option<PathBuf>,
    /// Name of the certificate [default: its first DNS name]
    #[arg(long, value_name = "CERT", value_parser = CertName::from_user)]
    pub name: Option<CertName>,
    /// Do not write the file for HAProxy's next start
    #[arg(long)]
    pub no_publish: bool,
    /// Check and show what would change, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Load it even if it is older, expired, not yet valid, or drops a name that is served
    #[arg(long)]
    pub force: bool,
    /// crt-list to attach it to, if it is new, as HAProxy names it
    #[arg(long, value_name = "CRTLIST")]
    pub attach: Option<String>,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// What to do: all; agent, which orders and talks to no HAProxy; or loader, which loads and talks to no authority
    #[arg(long, value_name = "ROLE", default_value = "all")]
    pub role: Role,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `status`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Status {
    /// Only this certificate
    #[arg(value_name = "CERT", value_parser = CertName::from_user)]
    pub certificate: Option<CertName>,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `rollback`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Rollback {
    /// The certificate
    #[arg(value_name = "CERT", value_parser = CertName::from_user)]
    pub certificate: CertName,
    /// Number of the generation to go to [default: the one before the current one]
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u64>,
    /// Go back even to one that has expired or drops a name
    #[arg(long)]
    pub force: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `revoke`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Revoke {
    /// The certificate
    #[arg(value_name = "CERT", value_parser = CertName::from_user)]
    pub certificate: CertName,
    /// Why: unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation
    #[arg(long, value_name = "REASON", default_value_t)]
    pub reason: RevocationReason,
    /// In whose name: that of the account, or that of the certificate's own key [default: account, then certificate]
    #[arg(long, value_name = "WHO")]
    pub with: Option<With>,
    /// Number of the generation to revoke [default: the current one]
    #[arg(long, value_name = "GENERATION", conflicts_with = "detach")]
    pub generation: Option<u64>,
    /// Stop serving it: its crt-list entries, its slot and its published file go, until it is renewed
    #[arg(long)]
    pub detach: bool,
    /// Name of the issuer [default: the one that issued it]
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// Flags for the authority.
    #[command(flatten)]
    pub ca: Ca,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// In whose name a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum With {
    /// That of the account that ordered it.
    Account,
    /// That of its own key.
    Certificate,
}

/// `internal`
#[derive(Debug, Subcommand, Serialize, Deserialize)]
pub enum Internal {
    /// Print the root certificate in PEM, for trust stores; it is made if there is none yet
    Root {
        /// Which issuer of type internal [default: the only one]
        #[arg(long, value_name = "NAME")]
        issuer: Option<String>,
    },
}

/// `account`
#[derive(Debug, Subcommand, Serialize, Deserialize)]
pub enum Account {
    /// Show each account: its URL, its status, its contacts, its thumbprint, its key file
    Show(Which),
    /// Register an account, or make sure that there is one with these contacts
    Register {
        /// Which authority.
        #[command(flatten)]
        which: Which,
        /// What a new account needs.
        #[command(flatten)]
        terms: Terms,
    },
    /// Give the account a new key
    Rollover(Which),
    /// Tell the authority other contacts
    Update {
        /// Which authority.
        #[command(flatten)]
        which: Which,
        /// Mail address; may be repeated [default: those of the configuration]
        #[arg(long, value_name = "MAIL")]
        contact: Vec<String>,
    },
    /// End the account, which cannot be undone
    Deactivate {
        /// Which authority.
        #[command(flatten)]
        which: Which,
        /// Really do it
        #[arg(long)]
        yes: bool,
    },
}

/// Which authority's account.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct Which {
    /// Name of the issuer in the configuration [default: the only one; `show`: all]
    #[arg(long, value_name = "NAME", conflicts_with = "directory")]
    pub issuer: Option<String>,
    /// Flags for the authority.
    #[command(flatten)]
    pub ca: Ca,
}

impl Account {
    /// Which authority is meant, and what the flags say about it.
    pub(super) fn flags(&self) -> (&Which, OrderFlags) {
        let (which, contact, terms) = match self {
            Self::Show(which) | Self::Rollover(which) | Self::Deactivate { which, .. } => (which, &Vec::new(), None),
            Self::Register { which, terms } => (which, &terms.contact, Some(terms)),
            Self::Update { which, contact } => (which, contact, None),
        };
        let flags = OrderFlags {
            directory: which.ca.directory.clone(),
            root_ca: which.ca.root_ca.clone(),
            contact: contact.clone(),
            agree_terms: terms.is_some_and(|terms| terms.agree),
            eab: terms.and_then(Terms::eab),
            ..OrderFlags::default()
        };
        (which, flags)
    }
}

/// `delete`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Delete {
    /// The certificate
    #[arg(value_name = "CERT", value_parser = CertName::from_user)]
    pub certificate: CertName,
    /// Take it out of HAProxy too: its crt-list entries, its slot and its published file
    #[arg(long)]
    pub detach: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `dump`
#[derive(Debug, Args, Serialize, Deserialize)]
pub struct Dump {
    /// Name of a certificate, or of a slot of HAProxy [default: all slots]
    #[arg(value_name = "CERT")]
    pub certificate: Option<String>,
    /// Write into this directory, instead of where HAProxy reads each slot from
    #[arg(long, value_name = "DIR", value_parser = PathBufValueParser::new().map(absolute))]
    pub to: Option<PathBuf>,
    /// Overwrite files that hold another certificate
    #[arg(long)]
    pub force: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration file
    Check,
    /// Show the effective values, and where each came from
    Show(Nodes),
    /// Print the lines that HAProxy needs to answer challenges
    Haproxy(Box<Haproxy>),
}

/// `config haproxy`
#[derive(Debug, Args)]
pub struct Haproxy {
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// Flags for ordering.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// A daemon that is given the path has another current directory.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
