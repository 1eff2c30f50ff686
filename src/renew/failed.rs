//! What is noted when an order has failed: for the authority, for the certificate with this issuer, or for it with any.

use super::Error;
use super::authority::{SAME_OUTAGE, trouble};
use super::order::Attempt;
use crate::model::chain;
use crate::schedule::{Event, Kind};

impl Attempt<'_> {
    /// Notes a failure, so that it is not repeated at once; that of the certificate itself only if it is one that is kept. What cannot be noted is only told: there is an error already.
    pub(super) fn note(&self, error: &Error, is_kept: bool) {
        let noted = || {
            let Self { renewer, lock, directory, .. } = *self;
            if error.is_of_authority() {
                renewer.blame(directory, error, self.standing)?;
            }
            let now = renewer.store.standing(directory.as_str())?.offset.now(renewer.clock.now());
            self.note_unproved(error)?;
            if !is_kept {
                return Ok(());
            }
            let number = renewer.store.current(lock.name())?.map(|generation| generation.number);
            let mut renewal = renewer.store.renewal(lock.name(), number)?;
            let place =
                if error.is_of_issuer() { renewal.refusals.remove(&self.issuer.name) } else { renewal.trouble.take() };
            let before = place.filter(|trouble| now.duration_since(trouble.at) < SAME_OUTAGE);
            let before = before.map_or(0, |trouble| trouble.failures);
            // To have been told to wait is no attempt.
            let failures = if matches!(error, Error::Spent { .. }) { before } else { before.saturating_add(1) };
            let trouble = trouble(error, failures, now);
            if error.is_of_issuer() {
                renewal.refusals.insert(self.issuer.name.clone(), trouble);
            } else {
                renewal.trouble = Some(trouble);
            }
            renewer.store.save_renewal(lock, &renewal)?;
            Ok::<_, Error>(())
        };
        if let Err(error) = noted() {
            tracing::warn!(certificate = %self.certificate.name, error = %chain(&error), "a failure could not be noted");
        }
    }

    /// Counts the names that an authority could not validate.
    pub(super) fn note_unproved(&self, error: &Error) -> Result<(), Error> {
        let unproved = error.unproved();
        if unproved.is_empty() || !self.issuer.is_limited() {
            return Ok(());
        }
        let wall = self.renewer.clock.now();
        Ok(self.renewer.store.change_standing(self.directory.as_str(), |standing| {
            let at = standing.offset.now(wall);
            for name in unproved {
                standing.events.add(Event { at, kind: Kind::FailedAuthorization { name: name.clone() } });
            }
        })?)
    }
}
