//! How we stand with an authority: what was asked of it, whether it can be asked at all, what time it says it is.
//!
//! Several processes, and several orders of one process, change this, each under a lock that is held for one read and one write.
//! A file that is damaged is none, with a warning: then the authority itself says what is too much.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::renewal::{Trouble, lenient};
use super::{Error, Store, accounts};
use crate::schedule::{Events, Offset};

/// What is remembered of an authority, beside the account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// What counts towards its limits.
    pub events: Events,
    /// Why it is left alone, as a whole.
    pub trouble: Option<Trouble>,
    /// How far the machine's clock is from its time.
    pub offset: Offset,
}

impl Store {
    /// How we stand with an authority, which is named by the URL of its directory.
    pub fn standing(&self, directory: &str) -> Result<Standing, Error> {
        lenient(&self.standing_path(directory))
    }

    /// Changes how we stand with an authority; nothing is written when nothing changes.
    pub fn change_standing<T>(&self, directory: &str, change: impl FnOnce(&mut Standing) -> T) -> Result<T, Error> {
        let path = self.standing_path(directory);
        let _lock = self.lock_authority(directory)?;
        let before: Standing = lenient(&path)?;
        let mut standing = before.clone();
        let outcome = change(&mut standing);
        if standing != before {
            self.write_json(&path, &standing)?;
            tracing::trace!(target: "hotcert::step", "store: standing with an authority noted");
        }
        Ok(outcome)
    }

    fn standing_path(&self, directory: &str) -> PathBuf {
        self.root.join("authorities").join(format!("{}.json", accounts::authority_id(directory)))
    }
}
