//! Certificates of one node that follow each other without a pause: what `push_pace = "full"` is for.
//!
//! The file of each is renamed as soon as `HAProxy` has accepted it, while it is put into place there.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::{Job, Nodes, put};
use crate::config::PushPace;
use crate::haproxy::Progress;
use crate::model::NodeName;
use crate::reconcile::{Error, Failure, Pushes, Reconciler};
use crate::schedule::Retry;

impl Job {
    /// The node that gets it in a stream: the only one, and there is nothing to do but to replace what its slot holds.
    pub(super) fn streamed_to(&self, nodes: &mut Nodes<'_>) -> Option<NodeName> {
        let mut works = self.works.iter();
        let (Some((name, work)), None) = (works.next(), works.next()) else { return None };
        let view = &nodes.views[name];
        let has_staple = view.desired.certificates[&self.certificate].staple.is_some();
        let is_plain = !self.was_streamed && work.replace && !work.create && work.entries.is_empty() && !has_staple;
        let is_full = view.node.push_pace == PushPace::Full;
        (is_plain && is_full && nodes.sessions.get_mut(name)?.can_stream()).then(|| name.clone())
    }
}

impl Reconciler<'_> {
    /// Loads the first of these jobs that go to one node in a stream. What another program was in the way of comes back to the front,
    /// to be tried with patience; what comes after `stop` stays.
    pub(super) async fn stream(
        &self,
        name: &NodeName,
        jobs: &mut VecDeque<Job>,
        nodes: &mut Nodes<'_>,
        changed: &mut BTreeSet<PathBuf>,
        failures: &mut Vec<Failure>,
    ) {
        let mut streamed = Vec::new();
        while jobs.front().is_some_and(|job| job.streamed_to(nodes).as_ref() == Some(name))
            && let Some(job) = jobs.pop_front()
        {
            streamed.push(Job { was_streamed: true, ..job });
        }
        let session = nodes.sessions.remove(name).expect("it was asked whether it can");
        let views = nodes.views;
        let mut files: Vec<_> = streamed.iter_mut().map(|job| job.files.pop()).collect();
        let all = streamed.iter().take_while(|_| !self.stop.is_cancelled()).map(|job| {
            let slot = job.slot(name, views);
            tracing::info!(node = %name, %slot, certificate = %job.certificate, "loading the certificate");
            (slot, &job.bundle)
        });
        let (mut done, mut again) = (0, Vec::new());
        let tell = |number: usize, told: Progress, took: Duration| {
            let certificate = &streamed[number].certificate;
            let mut fail = |error| failures.push(Failure::of(certificate, Some(name), error));
            let outcome = match told {
                Progress::Accepted => {
                    if let Some((_, file)) = files[number].take()
                        && let Err(error) = put(file, changed)
                    {
                        fail(error);
                    }
                    return;
                }
                Progress::Committed => Pushes::LOADED,
                Progress::Failed(error) => {
                    let error = Error::node(&views[name].node, error);
                    let kind = error.kind();
                    if error.meets_another() || error.retry() == Retry::Now {
                        again.push(number);
                        done = number + 1;
                        return;
                    }
                    fail(error);
                    kind
                }
            };
            done = number + 1;
            self.pushes.note(name, outcome, took);
        };
        let outcome = session.replace_all(all, tell).await;
        let is_lost = outcome.is_err();
        match outcome {
            Ok(session) => _ = nodes.sessions.insert(name.clone(), session),
            Err(error) => {
                let certificate = &streamed[done.min(streamed.len() - 1)].certificate;
                failures.push(Failure::of(certificate, Some(name), Error::node(&views[name].node, error)));
            }
        }
        for (number, (mut job, file)) in streamed.into_iter().zip(files).enumerate().rev() {
            if again.contains(&number) || (number >= done && !is_lost) {
                job.files.extend(file);
                jobs.push_front(job);
            }
        }
    }
}
