//! The files on disk, which somebody may be writing at this moment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Refusal;
use crate::bundle::ClientPem;
use crate::config::Node;
use crate::model::{ClientFile, Slot};
use crate::store;

/// How long a file must not have changed: longer than a program takes from one part of it to the next.
const QUIET: Duration = Duration::from_millis(40);
/// A file that has not changed for so long is not being written, whatever the steps of its file system's clock.
const AT_REST: Duration = Duration::from_secs(2);
/// How often files that go on changing are read again, before they are taken as they are.
const ATTEMPTS: usize = 5;

/// A file as it was read.
pub(super) struct OnDisk {
    pub(super) pem: ClientPem,
    /// When it was last written, or put there, in seconds.
    pub(super) changed: i64,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    id: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Of each file of a node; `None` where there is none. Links are followed, so that it does not matter what was replaced on the
    /// way there.
    #[must_use]
    pub fn of_all(node: &Node) -> Vec<Option<Self>> {
        node.client_files().map(|(_, file)| Self::of(file)).collect()
    }

    fn of(file: &Slot) -> Option<Self> {
        let found = fs::metadata(file.as_str()).ok()?;
        Some(Self {
            id: (found.dev(), found.ino()),
            size: found.size(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// When it was last written, or put there: one that is restored from a backup was written long ago.
    fn time(&self) -> i64 {
        self.written.0.max(self.changed.0)
    }

    fn is_at_rest(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(self.time()).is_ok_and(|time| Duration::from_secs(time) + AT_REST < now)
    }
}

/// Reads all files of a node whole, once nobody writes them.
pub(super) async fn read(node: &Node) -> Vec<(ClientFile, &Slot, Result<OnDisk, Refusal>)> {
    let mut before = FileStamp::of_all(node);
    for attempt in 1.. {
        let files =
            node.client_files().zip(&before).map(|((kind, file), stamp)| (kind, file, parse(kind, file, *stamp)));
        let files: Vec<_> = files.collect();
        if before.iter().flatten().any(|stamp| !stamp.is_at_rest()) {
            tokio::time::sleep(QUIET).await;
        }
        let after = FileStamp::of_all(node);
        if after == before || attempt == ATTEMPTS {
            return files;
        }
        before = after;
    }
    unreachable!("the last attempt returns")
}

fn parse(kind: ClientFile, file: &Slot, stamp: Option<FileStamp>) -> Result<OnDisk, Refusal> {
    let stamp = stamp.ok_or(Refusal::Missing)?;
    let bytes = store::read_file(Path::new(file.as_str()))?.ok_or(Refusal::Missing)?;
    Ok(OnDisk { pem: ClientPem::parse(kind, &bytes)?, changed: stamp.time() })
}
