//! When an authority suggests to renew (ACME Renewal Information, RFC 9773): asked without a signature.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::{retry_at, sent_at};
use super::problem::sanitised;
use super::{Directory, Error, Http};
use crate::schedule::Window;

/// What an authority says about the renewal of one certificate (section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalInfo {
    /// When it suggests to renew; `None` for a window that does not end after it starts, which counts as no answer.
    pub window: Option<Window>,
    /// Where it explains that to people.
    pub explanation: Option<String>,
    /// When to ask again (`Retry-After`, section 4.3).
    pub retry_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    suggested_window: Suggested,
    #[serde(rename = "explanationURL")]
    explanation: Option<String>,
}

#[derive(Deserialize)]
struct Suggested {
    start: Timestamp,
    end: Timestamp,
}

impl Directory {
    /// Whether the authority offers renewal information at all.
    #[must_use]
    pub fn has_renewal_info(&self) -> bool {
        self.fields.renewal_info.is_some()
    }

    /// Asks about one certificate, by its `Facts::renewal_id`; `None` where the authority offers no such information.
    pub async fn renewal_info(&self, http: &Http, id: &str) -> Result<Option<RenewalInfo>, Error> {
        let Some(base) = &self.fields.renewal_info else { return Ok(None) };
        let url = format!("{}/{id}", base.trim_end_matches('/'));
        let request =
            Request::get(&url).body(Full::<Bytes>::default()).map_err(|_| Error::NotHttps { url: sanitised(&url) })?;
        let answer = http.send(request).await?;
        let document: Document = serde_json::from_slice(answer.body())
            .map_err(|_| Error::Incomplete { what: "not renewal information (RFC 9773)" })?;
        Ok(Some(RenewalInfo {
            window: Window::new(document.suggested_window.start, document.suggested_window.end),
            explanation: document.explanation.map(|url| sanitised(&url)),
            retry_at: retry_at(answer.headers(), sent_at(answer.headers())),
        }))
    }
}
