//! How fast certificates follow each other.
//!
//! `HAProxy` puts a certificate into place in the thread that also serves clients. Where that thread gets as much time for them after
//! each as it was busy with the certificate, they notice little of a mass renewal, and its own answers tell how long that is.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Nodes;
use super::prepare::Wish;
use crate::config::PushPace;
use crate::model::NodeName;
use crate::reconcile::{FOREIGN_DEADLINE, POLL};

/// So many certificates follow each other at once, whatever the pace: nobody feels a few.
const HANDFUL: usize = 16;
/// The shortest rest, for timers count milliseconds: what is owed for quicker answers is summed up.
const SHORTEST: Duration = Duration::from_millis(2);
/// The longest rest. A worker that took longer was held up by something else.
const LONGEST: Duration = Duration::from_secs(1);

/// The pace of one load.
pub(super) struct Pace {
    /// The nodes that are to rest.
    resting: BTreeSet<NodeName>,
    owed: Duration,
    /// How long another program's transaction is still waited for.
    patience: Duration,
}

impl Pace {
    /// The pace for certificates that are going to be loaded.
    pub(super) fn new<'w>(wishes: impl Iterator<Item = &'w Wish>, nodes: &mut Nodes<'_>) -> Self {
        let are_many = wishes.filter(|wish| wish.is_staged()).nth(HANDFUL).is_some();
        let adaptive = |name: &&NodeName| nodes.views[*name].node.push_pace == PushPace::Adaptive;
        let resting = nodes.sessions.keys().filter(|_| are_many).filter(adaptive).cloned().collect();
        // What was waited for before has nothing to do with it.
        nodes.sessions.values_mut().for_each(|session| _ = session.take_waited());
        Self { resting, owed: Duration::ZERO, patience: FOREIGN_DEADLINE }
    }

    /// Waits a moment for another program to end its transaction; `false` when that has taken too long.
    pub(super) async fn waits_for_another(&mut self) -> bool {
        if self.patience.is_zero() {
            return false;
        }
        self.patience = self.patience.saturating_sub(POLL);
        tokio::time::sleep(POLL).await;
        true
    }

    /// Rests as long as the slowest node was busy with the last certificate.
    pub(super) async fn rest(&mut self, nodes: &mut Nodes<'_>, stop: &CancellationToken) {
        let sessions = nodes.sessions.iter_mut().filter(|(name, _)| self.resting.contains(*name));
        self.owed += sessions.map(|(_, session)| session.take_waited()).max().unwrap_or_default();
        if self.owed >= SHORTEST {
            let rest = std::mem::take(&mut self.owed).min(LONGEST);
            let _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
    }
}
