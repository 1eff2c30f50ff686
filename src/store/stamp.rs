//! Telling cheaply which certificates have changed, whichever process changed them.
//!
//! Whoever changes what should be served of a certificate sets the time of its directory, and of the directory `certs`; whoever
//! wants to know whether anything has changed looks at the latter, which is one call however many certificates there are, and at
//! the others only then. Both are hints that save waiting for the next look, so they need not be durable.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::error::io;
use super::{Error, Store};
use crate::model::CertName;

/// How long before a look it may be noted that something was changed that the look did not see: a process may be held up between the
/// clock and the disk, and some file systems keep whole seconds.
const SLACK: Duration = Duration::from_secs(2);

/// The state of all certificates, to be compared with an earlier one. Later ones are greater while the clock is not set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(pub(super) i64, pub(super) i64);

impl Stamp {
    /// The one that a change would set at this instant.
    #[must_use]
    pub fn now() -> Self {
        // The kernel's own has the resolution of its tick, in which much can happen.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(now.as_secs().cast_signed(), now.subsec_nanos().into())
    }

    fn of(found: &fs::Metadata) -> Self {
        Self(found.mtime(), found.mtime_nsec())
    }
}

/// What may have changed since an instant ([`Store::changed_since`]).
#[derive(Debug, Default)]
pub struct Changed {
    /// Every certificate of which something is stored.
    pub all: BTreeSet<CertName>,
    /// Those of them of which something was written since, or shortly before.
    pub written: BTreeSet<CertName>,
    /// Those of which it was written, too, what is remembered.
    pub remembered: BTreeSet<CertName>,
}

impl Store {
    /// The present state. A store without certificates has one too.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        fs::metadata(self.root.join("certs")).map_or_else(|_| Stamp::default(), |found| Stamp::of(&found))
    }

    /// Which certificates may have changed since they were looked at, at this instant or later; `None` when that cannot be said, for
    /// the clock was set back.
    pub fn changed_since(&self, instant: Stamp) -> Result<Option<Changed>, Error> {
        if Stamp::now() < instant {
            return Ok(None);
        }
        let since = Stamp(instant.0.saturating_sub_unsigned(SLACK.as_secs()), instant.1);
        let is_later = |found: fs::Metadata| Stamp::of(&found) >= since;
        let certs = self.root.join("certs");
        let entries = match fs::read_dir(&certs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Changed::default())),
            Err(error) => return Err(io("list", &certs)(error)),
        };
        let (mut all, mut written) = (Vec::new(), BTreeSet::new());
        for entry in entries {
            let entry = entry.map_err(io("list", &certs))?;
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<CertName>().ok()) else {
                continue;
            };
            if entry.metadata().is_ok_and(is_later) {
                written.insert(name.clone());
            }
            all.push(name);
        }
        let is_remembered = |name: &&CertName| fs::metadata(self.settings_path(name)).is_ok_and(is_later);
        let remembered = written.iter().filter(is_remembered).cloned().collect();
        Ok(Some(Changed { all: all.into_iter().collect(), written, remembered }))
    }

    /// Says that a certificate has changed.
    pub(super) fn touch(&self, name: &CertName) {
        let Stamp(seconds, nanoseconds) = Stamp::now();
        let now = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: now, last_modification: now };
        // The certificate's own first: who sees the other is to find it. It may be gone altogether.
        for directory in [self.certificate(name), self.root.join("certs")] {
            if let Err(error) = rustix::fs::utimensat(CWD, &directory, &times, AtFlags::empty()) {
                tracing::debug!(directory = %directory.display(), %error, "the store could not be stamped");
            }
        }
    }
}
