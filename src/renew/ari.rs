//! Asking authorities when they suggest to renew (RFC 9773).

use std::time::Duration;

use jiff::Timestamp;

use super::outlook::Outlook;
use super::{Error, Renewer};
use crate::acme::{self, Account, Directory, Http, RenewalInfo};
use crate::config::Issuer;
use crate::model::{CertName, DirectoryUrl, Facts};
use crate::schedule::{Ari, Retry, ask_again};
use crate::store::{CertLock, Renewal, Standing};

/// The pause between two look-ups: authorities want fewer than three a second.
const PAUSE: Duration = Duration::from_millis(350);
/// The most look-ups of one round, which take half a minute: those that are due are not to wait for a thousand others.
pub(super) const LOOKUPS: usize = 100;

/// A certificate about which its issuer is asked.
pub(super) struct Asked<'a> {
    pub(super) name: &'a CertName,
    pub(super) outlook: &'a Outlook,
    pub(super) author: &'a Issuer,
}

impl Renewer<'_> {
    /// Asks about certificates, one after the other, and notes the answers. The first failure of the authority as a whole ends
    /// it, and is noted.
    pub(super) async fn ask_about(
        &self,
        questions: &[Asked<'_>],
        issuer: &Issuer,
        directory: &DirectoryUrl,
        (http, offers): (&Http, &Directory),
        standing: &Standing,
    ) -> Result<(), Error> {
        let mut is_first = true;
        for Asked { name, outlook, author } in questions {
            let Some(id) = outlook.renewal_id(author) else { continue };
            if !std::mem::take(&mut is_first) && offers.has_renewal_info() {
                tokio::time::sleep(PAUSE).await;
            }
            // After a rollback the authority knows the current one as replaced, of which it is not to be asked.
            let is_newest = self.store.generations(name)?.last().copied() == outlook.number;
            let asked = if is_newest { offers.renewal_info(http, id).await } else { Ok(None) };
            let now = self.listen(directory, http)?;
            let failure = asked.as_ref().is_err_and(acme::Error::is_of_authority);
            // Another process that is at work on it asks as well.
            let lock = self.store.try_lock_certificate(name)?;
            let is_current =
                || Ok::<_, Error>(self.store.current(name)?.map(|generation| generation.number) == outlook.number);
            if let Some(lock) = lock
                && is_current()?
            {
                let mut renewal = self.store.renewal(name, outlook.number)?;
                take_over(&mut renewal, name, &asked, now);
                self.store.save_renewal(&lock, &renewal)?;
            }
            if let Err(error) = asked
                && failure
            {
                let error = Error::acme(issuer, error);
                self.blame(directory, &error, standing)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Asks about a certificate that was just issued; `renewal` is how it begins, whatever the answer.
    pub(super) async fn ask_about_new(
        &self,
        lock: &CertLock,
        account: &Account,
        facts: &Facts,
        mut renewal: Renewal,
        now: Timestamp,
    ) -> Result<(), Error> {
        let asked = match &facts.renewal_id {
            Some(id) => account.renewal_info(id).await,
            None => Ok(None),
        };
        take_over(&mut renewal, lock.name(), &asked, now);
        Ok(self.store.save_renewal(lock, &renewal)?)
    }
}

/// What an answer changes. A failed look-up leaves the last answer in force.
fn take_over(renewal: &mut Renewal, name: &CertName, asked: &Result<Option<RenewalInfo>, acme::Error>, now: Timestamp) {
    let retry_at = match asked {
        Ok(None) => {
            renewal.ari = None;
            // It may offer it one day.
            Some(Timestamp::MAX)
        }
        Ok(Some(info)) => {
            let before = renewal.ari.take();
            renewal.ari = info.window.map(|window| {
                let chosen = Ari::choose(before.as_ref(), window, info.explanation.clone(), rand::random());
                if before.as_ref() != Some(&chosen) {
                    tracing::info!(certificate = %name, at = %chosen.chosen, "the authority says when to renew");
                }
                chosen.after_renewal(renewal.by_ari)
            });
            info.retry_at
        }
        Err(error) => {
            tracing::info!(certificate = %name, %error, "the authority does not say when to renew");
            match error.retry() {
                Retry::NotBefore(instant) => Some(instant),
                _ => None,
            }
        }
    };
    renewal.ask_at = Some(ask_again(now, retry_at));
}
