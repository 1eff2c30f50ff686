//! What an authority offers (RFC 8555, section 7.1.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;

use super::http::is_usable;
use super::patience::again;
use super::problem::sanitised;
use super::{Error, Http};
use crate::model::{DirectoryUrl, DnsName};

/// How many domains of an authority are looked at. None has more than a handful.
const IDENTITIES: usize = 16;

/// What an authority offers: the fields that we use, and the whole for instant-acme.
pub struct Directory {
    pub(super) fields: Fields,
    pub(super) whole: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    pub(super) renewal_info: Option<String>,
    pub(super) key_change: Option<String>,
    pub(super) revoke_cert: Option<String>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    terms_of_service: Option<String>,
    #[serde(default)]
    external_account_required: bool,
    #[serde(default)]
    profiles: BTreeMap<String, Value>,
    #[serde(default)]
    caa_identities: Value,
}

impl Directory {
    /// Asks an authority what it offers. The answer also tells the time: [`Http::authority_time`].
    pub async fn fetch(http: &Http, url: &DirectoryUrl) -> Result<Self, Error> {
        let request = Request::get(url.as_str())
            .body(Full::<Bytes>::default())
            .map_err(|_| Error::NotHttps { url: sanitised(url.as_str()) })?;
        let answer = again!(http.send(request.clone()))?;
        let incomplete = |_| Error::Incomplete { what: "not a directory" };
        let whole: Value = serde_json::from_slice(answer.body()).map_err(incomplete)?;
        let fields = Fields::deserialize(&whole).map_err(incomplete)?;
        let named = [&fields.new_nonce, &fields.new_account, &fields.new_order].into_iter().chain(&fields.renewal_info);
        if let Some(url) = named.into_iter().find(|url| !is_usable(url)) {
            return Err(Error::NotHttps { url: sanitised(url) });
        }
        Ok(Self { fields, whole })
    }

    /// The domains by which records of the DNS name the authority (RFC 8555, section 9.7.6), as far as they are domains; none where
    /// it does not tell.
    #[must_use]
    pub fn caa_identities(&self) -> Vec<String> {
        let told = self.fields.meta.caa_identities.as_array().into_iter().flatten();
        let domains = told.filter_map(|identity| identity.as_str()?.parse::<DnsName>().ok());
        domains.take(IDENTITIES).map(|domain| domain.to_string()).collect()
    }

    /// Whether a new account may be made under these terms.
    pub(super) fn check_registration(&self, terms_agreed: bool, is_bound: bool) -> Result<(), Error> {
        match &self.fields.meta.terms_of_service {
            _ if self.fields.meta.external_account_required && !is_bound => Err(Error::ExternalAccountRequired),
            Some(url) if !terms_agreed => Err(Error::TermsNotAgreed { url: sanitised(url) }),
            _ => Ok(()),
        }
    }

    /// Whether a profile is offered (draft-ietf-acme-profiles, section 3). An authority without profiles would ignore the wish.
    pub(super) fn check_profile(&self, profile: &str) -> Result<(), Error> {
        let profiles = &self.fields.meta.profiles;
        if profiles.contains_key(profile) {
            return Ok(());
        }
        Err(Error::UnknownProfile { profile: profile.to_owned(), offered: profiles.keys().cloned().collect() })
    }
}
