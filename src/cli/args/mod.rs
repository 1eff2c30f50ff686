//! The words of the command line.

mod authority;
mod import;
mod ordering;

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

pub(super) use self::authority::{Account, Revoke, With};
pub(super) use self::import::Import;
pub(super) use self::ordering::{Answering, Ca, Ordering, Terms};
use crate::config::Flags;
use crate::daemon::Role;
use crate::model::{Address, Authority, CertName, Identifier};

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
    /// The same in a terminal, as it goes: problems first, a time line, nodes, events
    Top(Nodes),
    /// Check the surroundings, explain each problem and its cure; exit 2 when something needs a look
    Doctor(Nodes),
    /// List the certificates, one a line
    List,
    /// Go back to the previous generation of a certificate
    Rollback(Rollback),
    /// Revoke a certificate at its authority; with --detach, also stop serving it
    Revoke(Revoke),
    /// Forget a certificate; with --detach, also take it out of HAProxy
    Delete(Delete),
    /// Adopt what certbot, acme.sh, lego or dehydrated manage, without ordering again
    Import(Box<Import>),
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
    /// Stats socket of a HAProxy: a path, tcp://host:port, or master@PATH for that of a master; repeat it for more nodes
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
    /// Find HAProxy on this machine, and write a configuration for it
    Init(Box<Init>),
    /// Print the lines that are missing in HAProxy's configuration, and where they go
    Haproxy(Box<Haproxy>),
}

/// `config init`
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write, - for standard output [default: the file of --config, or /etc/hotcert/hotcert.toml]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite a file that is there
    #[arg(long)]
    pub force: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// Flags for the authority.
    #[command(flatten, next_help_heading = "Ordering")]
    pub ca: Ca,
    /// Flags for a new account there.
    #[command(flatten)]
    pub terms: Terms,
    /// Flags for the challenges.
    #[command(flatten)]
    pub answering: Answering,
    /// Certificate profile to ask for
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
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
