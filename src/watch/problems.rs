//! What is wrong in watched directories, until it is mended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::error::Error;
use crate::model::{CertName, chain};

/// A file or directory that gives no certificate although it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or the directory.
    pub file: PathBuf,
    /// The certificate that it would give.
    pub certificate: Option<CertName>,
    /// What is wrong, with its causes.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// The present problems. Each is told once, when it comes or changes, and once more when it is mended.
#[derive(Debug)]
pub(super) struct Problems {
    present: BTreeMap<PathBuf, Problem>,
    outlet: watch::Sender<Arc<[Problem]>>,
    changed: bool,
}

impl Default for Problems {
    fn default() -> Self {
        Self { present: BTreeMap::new(), outlet: watch::Sender::new(Arc::new([])), changed: false }
    }
}

impl Problems {
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<[Problem]>> {
        self.outlet.subscribe()
    }

    /// Notes what is wrong with a file now.
    pub(super) fn found(&mut self, file: &Path, certificate: Option<&CertName>, error: &Error, now: Timestamp) {
        let reason = chain(error);
        let known = self.present.get(file);
        if known.is_some_and(|known| known.reason == reason) {
            return;
        }
        let since = known.map_or(now, |known| known.since);
        let hint = error.hint();
        tracing::warn!(
            file = %file.display(), certificate = certificate.map(CertName::as_str), reason, hint,
            "a watched file gives no certificate"
        );
        let problem = Problem { file: file.to_owned(), certificate: certificate.cloned(), reason, hint, since };
        self.present.insert(file.to_owned(), problem);
        self.changed = true;
    }

    /// Notes that nothing is wrong with a file any more.
    pub(super) fn mended(&mut self, file: &Path) {
        if let Some(problem) = self.present.remove(file) {
            let certificate = problem.certificate.as_ref().map(CertName::as_str);
            tracing::info!(file = %file.display(), certificate, "a watched file is right again");
            self.changed = true;
        }
    }

    /// Tells those who want to know, if something has changed.
    pub(super) fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.outlet.send_replace(self.present.values().cloned().collect());
        }
    }

    pub(super) fn into_present(self) -> Vec<Problem> {
        self.present.into_values().collect()
    }
}
