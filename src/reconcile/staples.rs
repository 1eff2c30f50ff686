//! What is stapled to the certificates of a node: compared with what lies beside their files, loaded with them, and proved.

use super::companions::Companions;
use super::observe::View;
use super::{Error, Failure};
use crate::haproxy::{self, Session, Staged};
use crate::model::{CertName, Slot, Staple};

impl View {
    /// Compares what lies beside the certificates with what is stapled to them.
    pub(super) async fn look_at_staples(&mut self, session: &mut Session) -> Result<(), haproxy::Error> {
        for (name, companions) in &mut self.companions {
            let Some(want) = self.desired.certificates.get_mut(name) else { continue };
            companions.fit(&self.info, &want.slot);
            want.staple = companions.staple();
        }
        let wanted = self.desired.certificates.values().filter_map(|want| Some((want.slot.clone(), want.staple?)));
        let (slots, wanted): (Vec<Slot>, Vec<Staple>) = wanted.unzip();
        let stapled = if self.info.capabilities().shows_staples {
            session.staples(&slots).await?
        } else {
            // Nobody knows; it was loaded with its certificate, or by the next one.
            wanted.into_iter().map(Some).collect()
        };
        for (slot, staple) in slots.iter().zip(stapled) {
            if let Some(Some(held)) = self.actual.slots.get_mut(slot) {
                held.staple = staple;
            }
        }
        Ok(())
    }

    /// Whether a certificate would kill `HAProxy` if it were replaced.
    pub(super) fn refuse_to_kill(&self, certificate: &CertName) -> Result<(), Error> {
        let Some(want) = self.desired.certificates.get(certificate) else { return Ok(()) };
        let timestamps = self.companions.get(certificate).and_then(|companions| companions.timestamps.as_ref());
        match (timestamps, self.actual.slots.get(&want.slot)) {
            // A slot that is made now was never loaded with a file.
            (Some(file), Some(Some(_))) => Err(Error::Timestamps {
                certificate: certificate.clone(),
                node: self.node.name.clone(),
                file: file.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Looks whether a node has taken the response that was loaded with a certificate: it drops what it does not like.
    pub(super) async fn expect_stapled(&self, certificate: &CertName, session: &mut Session) -> Option<Failure> {
        let want = self.desired.certificates.get(certificate)?;
        let wanted = want.staple.filter(|_| self.info.capabilities().shows_staples)?;
        let error = match session.staples(std::slice::from_ref(&want.slot)).await.as_deref() {
            Ok([Some(staple)]) if *staple >= wanted => return None,
            Ok(_) => Error::NotStapled { certificate: certificate.clone(), node: self.node.name.clone() },
            // What is wrong with the connection shows at its next use.
            Err(_) => return None,
        };
        Some(Failure::of(certificate, Some(&self.node.name), error))
    }
}

/// Adds to a transaction what belongs to its certificate. What is refused is left out, and what follows it.
pub(super) async fn add(beside: Option<&Companions>, staged: &mut Staged) {
    for part in beside.map(Companions::parts).unwrap_or_default() {
        if let Err(error) = staged.add(part).await {
            tracing::warn!(slot = %staged.slot(), %error, "the certificate is loaded without its OCSP response");
            return;
        }
    }
}
