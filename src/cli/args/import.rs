//! What is taken over from other programs.

use std::path::PathBuf;

use clap::Args;

use super::{Nodes, Ordering};
use crate::import::Program;

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// Whose certificates: certbot, acme.sh, lego or dehydrated
    #[arg(value_name = "SOURCE")]
    pub program: Program,
    /// Its directory, as /etc/letsencrypt, ~/.acme.sh, .lego or /var/lib/dehydrated; it is not changed
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// Show what would be adopted, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Flags for nodes.
    #[command(flatten)]
    pub nodes: Nodes,
    /// Flags for ordering.
    #[command(flatten)]
    pub ordering: Ordering,
}
