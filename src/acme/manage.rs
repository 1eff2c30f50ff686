//! An account after its registration: how it stands, its contacts, its key, its end (RFC 8555, sections 7.3.2 to 7.3.6).

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::trace;

use super::account::mailto;
use super::problem::sanitised;
use super::signing::Signed;
use super::{Account, AccountKey, Error};

/// An account as its authority knows it (section 7.1.2). Text of the authority is bounded and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `valid`, `deactivated` or `revoked`.
    pub status: String,
    /// Mail addresses, or URLs of other kinds; some authorities keep none.
    pub contacts: Vec<String>,
}

/// More contacts than anybody has.
const CONTACTS: usize = 20;

#[derive(Deserialize)]
struct Object {
    status: String,
    #[serde(default)]
    contact: Vec<String>,
}

impl Registration {
    /// What it is for orders.
    pub const VALID: &str = "valid";
}

impl Account {
    /// Asks the authority how the account stands.
    pub async fn registration(&self) -> Result<Registration, Error> {
        self.change(None).await
    }

    /// Tells the authority other contacts: mail addresses (section 7.3.2).
    pub async fn set_contacts(&self, contacts: &[String]) -> Result<Registration, Error> {
        let registration = self.change(Some(&json!({ "contact": mailto(contacts) }))).await?;
        trace!(target: "hotcert::step", "acme: contacts of the account changed");
        Ok(registration)
    }

    /// Ends the account, for good (section 7.3.6).
    pub async fn deactivate(&self) -> Result<Registration, Error> {
        let registration = self.change(Some(&json!({ "status": "deactivated" }))).await?;
        trace!(target: "hotcert::step", "acme: account deactivated");
        Ok(registration)
    }

    /// Gives the account another key, which the caller has saved before (section 7.3.5). From then on the old one is worth nothing,
    /// and neither is this handle.
    pub async fn roll_over(&self, new: &AccountKey) -> Result<(), Error> {
        let url = self.signer.directory.fields.key_change.as_ref();
        let url = url.ok_or(Error::NotOffered { what: "change of account keys (keyChange)" })?;
        let payload = json!({ "account": self.url(), "oldKey": self.signer.key.jwk() });
        let inner = new.signing().sign(Signed::ByKey, None, url, Some(&payload));
        self.signer.post(url, Some(&inner)).await?;
        trace!(target: "hotcert::step", "acme: account key changed");
        Ok(())
    }

    async fn change(&self, payload: Option<&Value>) -> Result<Registration, Error> {
        let answer = self.signer.post(self.url(), payload).await?;
        let object: Object =
            serde_json::from_slice(answer.body()).map_err(|_| Error::Incomplete { what: "not an account" })?;
        let mail = |url: &String| sanitised(url.strip_prefix("mailto:").unwrap_or(url));
        let contacts = object.contact.iter().take(CONTACTS).map(mail).collect();
        Ok(Registration { status: sanitised(&object.status), contacts })
    }
}
