//! Revoking a certificate (RFC 8555, section 7.6), by the account that ordered it or by its own key.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use tracing::trace;

use super::account::Signer;
use super::directory::Directory;
use super::signing::SigningKey;
use super::{Account, Error, Http};
use crate::bundle::PrivateKey;
use crate::model::{DirectoryUrl, RevocationReason};

/// What a request to revoke led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The certificate is revoked.
    Now,
    /// It was before.
    Before,
}

impl Account {
    /// Revokes a certificate, in DER, in the name of the account.
    pub async fn revoke(&self, leaf: &[u8], reason: RevocationReason) -> Result<Revoked, Error> {
        revoke(&self.signer, leaf, reason).await
    }
}

/// Revokes a certificate, in DER, in the name of its key, which works without the account that ordered it, and wherever that is.
pub async fn revoke_by_key(
    http: &Http,
    directory: &DirectoryUrl,
    key: &PrivateKey,
    leaf: &[u8],
    reason: RevocationReason,
) -> Result<Revoked, Error> {
    let key = Arc::new(SigningKey::of(key).ok_or(Error::CertificateKey)?);
    let directory = Directory::fetch(http, directory).await?;
    revoke(&Signer { http: http.clone(), directory, key, account: None }, leaf, reason).await
}

async fn revoke(signer: &Signer, leaf: &[u8], reason: RevocationReason) -> Result<Revoked, Error> {
    let url =
        signer.directory.fields.revoke_cert.as_ref().ok_or(Error::NotOffered { what: "revocation (revokeCert)" })?;
    let mut payload = json!({ "certificate": BASE64_URL_SAFE_NO_PAD.encode(leaf) });
    // That there is no reason is said by saying none (RFC 5280, section 5.3.1).
    if reason != RevocationReason::Unspecified {
        payload["reason"] = json!(reason.code());
    }
    match signer.post(url, Some(&payload)).await {
        Ok(_) => {
            trace!(target: "hotcert::step", "acme: certificate revoked");
            Ok(Revoked::Now)
        }
        Err(Error::Refused(problem)) if problem.kind == "alreadyRevoked" => Ok(Revoked::Before),
        Err(error) => Err(error),
    }
}
