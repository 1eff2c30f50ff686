//! Accounts (RFC 8555, section 7.3): registering, restoring, and orders from there.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Request, Response};
use http_body_util::Full;
use instant_acme::{AccountCredentials, CertificateIdentifier, NewOrder};
use serde_json::{Value, json};
use tracing::trace;
use zeroize::Zeroizing;

use super::directory::Directory;
use super::http::{call, is_usable, tapped};
use super::patience::{Patience, again};
use super::problem::sanitised;
use super::signing::{Signed, SigningKey};
use super::{AccountKey, Error, ExternalAccount, Http, Order, RenewalInfo, lost};
use crate::model::{DirectoryUrl, Identifier};

/// An account at an authority; clones share it.
#[derive(Clone)]
pub struct Account {
    library: instant_acme::Account,
    pub(super) signer: Arc<Signer>,
}

impl Account {
    /// Registers the key, which the caller has saved before. A key that has an account already gets that account (section
    /// 7.3.1), so repeating this after a crash does no harm. Contacts are mail addresses; `external` vouches for us where
    /// the authority knows its customers otherwise (section 7.3.4).
    pub async fn register(
        http: &Http,
        directory: &DirectoryUrl,
        key: &AccountKey,
        contacts: &[String],
        terms_agreed: bool,
        external: Option<&ExternalAccount>,
    ) -> Result<Self, Error> {
        let directory = Directory::fetch(http, directory).await?;
        directory.check_registration(terms_agreed, external.is_some())?;
        let signer = Signer { http: http.clone(), directory, key: key.signing().clone(), account: None };
        let mut payload = json!({ "termsOfServiceAgreed": terms_agreed });
        if !contacts.is_empty() {
            payload["contact"] = mailto(contacts);
        }
        if let Some(external) = external {
            payload["externalAccountBinding"] = external.bind(&signer.key, &signer.directory.fields.new_account);
        }
        let answer = match signer.post(&signer.directory.fields.new_account, Some(&payload)).await {
            // Nothing else in the request can be wrong in these ways.
            Err(Error::Refused(problem))
                if external.is_some() && ["malformed", "unauthorized"].contains(&problem.kind.as_str()) =>
            {
                return Err(Error::ExternalAccountRefused { detail: problem.to_string() });
            }
            answer => answer?,
        };
        trace!(target: "hotcert::step", "acme: account registered");
        Self::at(signer, key, &answer).await
    }

    /// Looks for the account of a key (section 7.3.1); `None` when the authority knows none.
    pub async fn find(http: &Http, directory: &DirectoryUrl, key: &AccountKey) -> Result<Option<Self>, Error> {
        let directory = Directory::fetch(http, directory).await?;
        let signer = Signer { http: http.clone(), directory, key: key.signing().clone(), account: None };
        let payload = json!({ "onlyReturnExisting": true });
        match signer.post(&signer.directory.fields.new_account, Some(&payload)).await {
            Ok(answer) => Self::at(signer, key, &answer).await.map(Some),
            Err(Error::AccountGone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Restores an account by its URL. The authority is asked for its directory only: whether it still knows the account,
    /// shows with the first order.
    pub async fn restore(http: &Http, directory: &DirectoryUrl, key: &AccountKey, url: &str) -> Result<Self, Error> {
        let directory = Directory::fetch(http, directory).await?;
        let signer =
            Signer { http: http.clone(), directory, key: key.signing().clone(), account: Some(url.to_owned()) };
        Self::from_signer(signer, key).await
    }

    /// The account's URL, which names it at the authority.
    #[must_use]
    pub fn url(&self) -> &str {
        self.library.id()
    }

    /// The thumbprint of the account's key (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.signer.key.thumbprint()
    }

    /// See [`Directory::caa_identities`].
    #[must_use]
    pub fn caa_identities(&self) -> Vec<String> {
        self.signer.directory.caa_identities()
    }

    /// Orders one certificate for these names (section 7.4). The caller journals [`Order::url`] at once. `replaces` names the
    /// certificate that this one follows (RFC 9773, section 5); an authority that knows no renewal information is not told.
    /// [`Error::ReplacesRefused`] when that may not be named: order without.
    pub async fn new_order(
        &self,
        identifiers: &[Identifier],
        profile: Option<&str>,
        replaces: Option<&str>,
    ) -> Result<Order, Error> {
        let named_identifiers: Vec<_> = identifiers.iter().map(to_library).collect();
        let mut order = NewOrder::new(&named_identifiers);
        let named = replaces.filter(|_| self.signer.directory.fields.renewal_info.is_some());
        if let Some((authority_key_identifier, serial)) = named.and_then(|id| id.split_once('.')) {
            order = order.replaces(CertificateIdentifier {
                authority_key_identifier: authority_key_identifier.into(),
                serial: serial.into(),
            });
        }
        if let Some(profile) = profile {
            self.signer.directory.check_profile(profile)?;
            order = order.profile(profile);
        }
        let (created, answer) = {
            let mut patience = Patience::default();
            loop {
                let (outcome, answer) = tapped(self.library.new_order(&order)).await;
                match outcome.as_ref().err().and_then(|error| patience.pause(error)) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => break (outcome, answer),
                }
            }
        };
        let created = match created {
            Ok(created) => Order::new(created, &self.signer, identifiers, answer)?,
            // The library wants `replaces` repeated. The order is there nevertheless, and is not to be made twice.
            Err(error @ Error::Incomplete { .. }) if named.is_some() => match answer.as_ref().and_then(location) {
                Some(url) => self.resume(url, identifiers).await?,
                None => return Err(error),
            },
            // Authorities do not agree on how to say that this certificate may not be named. Pebble 2.10 stumbles over serial
            // numbers whose first bit is set; an authority that is down answers by other numbers than 500.
            Err(Error::Refused(problem))
                if named.is_some() && ["malformed", "unauthorized"].contains(&problem.kind.as_str()) =>
            {
                return Err(Error::ReplacesRefused { detail: problem.to_string() });
            }
            Err(Error::Unavailable { status: 500, detail, retry_at: None, .. }) if named.is_some() => {
                return Err(Error::ReplacesRefused { detail });
            }
            Err(error) => return Err(error),
        };
        trace!(target: "hotcert::step", "acme: order created");
        Ok(created)
    }

    /// When the authority suggests to renew a certificate (RFC 9773); `None` when it says nothing.
    pub async fn renewal_info(&self, id: &str) -> Result<Option<RenewalInfo>, Error> {
        self.signer.directory.renewal_info(&self.signer.http, id).await
    }

    /// Continues an order for these names by its URL. [`Error::OrderGone`] when the authority has forgotten it.
    pub async fn resume(&self, url: &str, identifiers: &[Identifier]) -> Result<Order, Error> {
        match again!(call(self.library.order(url.to_owned()))) {
            Ok((order, answer)) => Order::new(order, &self.signer, identifiers, answer),
            // Authorities do not agree on how to say it: 404 with or without a problem, or that it is not ours.
            Err(Error::NotAcme { status: 404 | 410, .. }) => Err(Error::OrderGone { url: sanitised(url) }),
            Err(Error::Refused(problem)) if ["malformed", "unauthorized"].contains(&problem.kind.as_str()) => {
                Err(Error::OrderGone { url: sanitised(url) })
            }
            Err(other) => Err(other),
        }
    }

    /// Looks for an order with exactly these names that was requested, and whose URL was lost in a crash. Few authorities
    /// list orders (section 7.1.2.1); whatever fails, means none.
    pub async fn open_order(&self, identifiers: &[Identifier]) -> Option<Order> {
        let url = lost::find(&self.signer, identifiers).await?;
        self.resume(&url, identifiers).await.ok()
    }

    /// The account that an answer with its object tells of.
    async fn at(mut signer: Signer, key: &AccountKey, answer: &Response<Bytes>) -> Result<Self, Error> {
        let url = location(answer).filter(|url| is_usable(url));
        signer.account = Some(url.ok_or(Error::Incomplete { what: "no account URL" })?.to_owned());
        Self::from_signer(signer, key).await
    }

    async fn from_signer(signer: Signer, key: &AccountKey) -> Result<Self, Error> {
        let key = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(key.pkcs8()?));
        // With `urls` instead of `directory`, the directory is not fetched a second time.
        let (id, urls) = (json!(signer.account), &signer.directory.whole);
        let credentials = Zeroizing::new(format!(r#"{{"id":{id},"key_pkcs8":"{}","urls":{urls}}}"#, *key));
        let credentials: AccountCredentials =
            serde_json::from_str(&credentials).map_err(|_| Error::Incomplete { what: "not a directory" })?;
        let library = instant_acme::Account::builder_with_http(Box::new(signer.http.clone()))
            .from_credentials(credentials)
            .await
            .map_err(Error::from_library)?;
        Ok(Self { library, signer: Arc::new(signer) })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.url())
    }
}

/// What signed requests of our own need.
pub(super) struct Signer {
    pub(super) http: Http,
    pub(super) directory: Directory,
    pub(super) key: Arc<SigningKey>,
    /// The account's URL; none until it is registered, and for a key that stands for itself.
    pub(super) account: Option<String>,
}

impl Signer {
    /// Sends a signed request; without a payload, a POST-as-GET.
    pub(super) async fn post(&self, url: &str, payload: Option<&Value>) -> Result<Response<Bytes>, Error> {
        again!(async {
            let nonce = self.nonce().await?;
            let by = self.account.as_deref().map_or(Signed::ByKey, Signed::ByAccount);
            let body = self.key.sign(by, Some(&nonce), url, payload).to_string();
            let request = Request::post(url)
                .header(CONTENT_TYPE, "application/jose+json")
                .body(Full::from(body))
                .map_err(|_| Error::NotHttps { url: sanitised(url) })?;
            self.http.send(request).await
        })
    }

    async fn nonce(&self) -> Result<String, Error> {
        let url = &self.directory.fields.new_nonce;
        let request = Request::head(url).body(Full::default()).map_err(|_| Error::NotHttps { url: sanitised(url) })?;
        let answer = self.http.send(request).await?;
        let nonce = answer.headers().get("Replay-Nonce").and_then(|value| value.to_str().ok());
        nonce.map(str::to_owned).ok_or(Error::Incomplete { what: "no nonce" })
    }
}

/// Mail addresses as authorities want them.
pub(super) fn mailto(contacts: &[String]) -> Value {
    contacts.iter().map(|mail| format!("mailto:{mail}")).collect()
}

fn location(answer: &Response<Bytes>) -> Option<&str> {
    answer.headers().get(LOCATION).and_then(|value| value.to_str().ok())
}

fn to_library(identifier: &Identifier) -> instant_acme::Identifier {
    match identifier {
        Identifier::Dns(name) => instant_acme::Identifier::Dns(name.clone()),
        Identifier::Ip(address) => instant_acme::Identifier::Ip(*address),
    }
}
