//! What is asked of an authority besides orders: about accounts, and revocation.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Ca, Nodes, Terms};
use crate::config::OrderFlags;
use crate::model::{CertName, RevocationReason};

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
    pub(in crate::cli) fn flags(&self) -> (&Which, OrderFlags) {
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
