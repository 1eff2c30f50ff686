//! Telling cheaply whether any certificate has changed, whichever process changed it.
//!
//! Whoever changes what should be served sets the time of the directory `certs`; whoever wants to know looks at that, which is
//! one call however many certificates there are. It is a hint that saves waiting for the next look, so it need not be durable.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::Store;

/// The state of all certificates, to be compared with an earlier one. Later ones are greater while the clock is not set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(i64, i64);

impl Store {
    /// The present state. A store without certificates has one too.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let found = fs::metadata(self.root.join("certs"));
        found.map_or_else(|_| Stamp::default(), |found| Stamp(found.mtime(), found.mtime_nsec()))
    }

    /// Says that something has changed.
    pub(super) fn touch(&self) {
        // The kernel's own stamp has the resolution of its tick, in which much can happen.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timespec { tv_sec: now.as_secs().cast_signed(), tv_nsec: now.subsec_nanos().into() };
        let times = Timestamps { last_access: now, last_modification: now };
        if let Err(error) = rustix::fs::utimensat(CWD, self.root.join("certs"), &times, AtFlags::empty()) {
            tracing::debug!(%error, "the store could not be stamped");
        }
    }
}
