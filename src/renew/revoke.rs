//! Revoking what an authority has issued.

use super::manage::directory;
use super::order::connect;
use super::{Error, Renewer};
use crate::acme::{self, Revoked};
use crate::bundle::Bundle;
use crate::config::Issuer;
use crate::model::{DirectoryUrl, RevocationReason, chain};

/// In whose name a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// In that of the account, and where that is not known or not entitled, in that of the certificate's key.
    Either,
    /// In that of the account that ordered it.
    Account,
    /// In that of its own key, which proves that whoever asks has it.
    Certificate,
}

impl Renewer<'_> {
    /// Asks an authority to revoke a certificate that it has issued.
    pub async fn revoke(
        &self,
        issuer: &Issuer,
        bundle: &Bundle,
        reason: RevocationReason,
        by: By,
    ) -> Result<Revoked, Error> {
        let directory = directory(issuer)?;
        if by != By::Certificate {
            match self.revoke_by_account(issuer, directory, bundle, reason).await {
                Err(error) if by == By::Either && error.is_of_account() => {
                    tracing::warn!(error = %chain(&error), "the account cannot revoke it; asking in the name of the certificate's key");
                }
                outcome => return outcome,
            }
        }
        acme::revoke_by_key(&connect(issuer)?, directory, bundle.key(), bundle.leaf(), reason)
            .await
            .map_err(|source| Error::asking(issuer, source))
    }

    async fn revoke_by_account(
        &self,
        issuer: &Issuer,
        directory: &DirectoryUrl,
        bundle: &Bundle,
        reason: RevocationReason,
    ) -> Result<Revoked, Error> {
        let _use = self.use_account(directory).await?;
        let (record, key) = self.active(issuer, directory).await?;
        let account = self.restore(issuer, directory, &key, &record).await?;
        account.revoke(bundle.leaf(), reason).await.map_err(|source| Error::asking(issuer, source))
    }
}
