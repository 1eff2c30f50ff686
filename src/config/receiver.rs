//! Who is told of what happens.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Sha256;

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// A certificate has a new generation.
    Renewed,
    /// A node serves another certificate than before.
    Loaded,
    /// Something is wrong that was not before.
    Failed,
    /// Little is left of a lifetime.
    Expiring,
}

/// Somebody who is told of what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Of what.
    pub on: BTreeSet<Occasion>,
    /// How.
    pub target: Target,
}

/// How somebody is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A program with its arguments, run without a shell.
    Hook {
        /// The program, absolute, and its arguments.
        run: Vec<String>,
    },
    /// A request to a URL, which may be a secret.
    Webhook {
        /// Where.
        url: String,
        /// A file with the token that says who we are.
        token_file: Option<PathBuf>,
        /// A file with roots for its HTTPS, besides those of the system.
        root_ca: Option<PathBuf>,
    },
}

impl Target {
    /// By which it is told from others, where its address must not be written.
    #[must_use]
    pub fn id(&self) -> Sha256 {
        match self {
            Self::Hook { run } => Sha256::of(format!("hook {}", run.join("\0")).as_bytes()),
            Self::Webhook { url, .. } => Sha256::of(format!("webhook {url}").as_bytes()),
        }
    }
}

impl fmt::Display for Target {
    /// For people, without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook { run } => write!(f, "the program {}", run.first().map_or("", String::as_str)),
            Self::Webhook { url, .. } => write!(f, "the webhook at {}", host(url)),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Scheme, host and port of a URL: what comes after them may be a secret.
#[must_use]
pub(super) fn host(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let rest = url[end..].split(['/', '?', '#']).next().unwrap_or_default();
    format!("{}{rest}", &url[..end])
}

impl FromStr for Occasion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "renewed" => Self::Renewed,
            "loaded" => Self::Loaded,
            "failed" => Self::Failed,
            "expiring" => Self::Expiring,
            _ => return Err("must be renewed, loaded, failed or expiring"),
        })
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renewed => "renewed",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Expiring => "expiring",
        })
    }
}
