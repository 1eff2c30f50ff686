//! What an authority's answer says: its headers, and the error that it is.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};

use super::Error;
use super::patience::NONCE_ATTEMPTS;
use super::problem::{Problem, sanitised};

/// Longest `Retry-After` that is believed: the longest real limits refill within a week.
const RETRY_AFTER_LIMIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// When the server says it is.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()
}

/// What time it is by the clock of whoever sent an answer: seconds to wait count from there.
pub(super) fn sent_at(headers: &HeaderMap) -> Timestamp {
    date(headers).unwrap_or_else(Timestamp::now)
}

/// When the server wants to be asked again (RFC 9110, section 10.2.3: seconds or a date).
pub(super) fn retry_at(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let latest = now.checked_add(RETRY_AFTER_LIMIT).ok()?;
    let instant = match value.parse::<u64>() {
        Ok(seconds) => {
            i64::try_from(seconds).ok().and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok())
        }
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => None,
        Err(_) => Some(jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?),
    };
    // A number too large for a date is a long wait, not none.
    Some(instant.unwrap_or(latest).min(latest))
}

/// The targets of `Link: <…>;rel="…"` (RFC 8288), in order.
pub(super) fn links(headers: &HeaderMap, relation: &str) -> Vec<String> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let target = |link: &str| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_it = |parameter: &str| {
            parameter.trim().strip_prefix("rel=").is_some_and(|value| value.trim_matches('"') == relation)
        };
        parameters.split(';').any(is_it).then(|| target.to_owned())
    };
    values.flat_map(|value| value.split(',')).filter_map(target).collect()
}

/// An answer of success that may be one of an authority, or the error that it is.
pub(super) fn checked(url: &Uri, answer: Response<Bytes>) -> Result<Response<Bytes>, Error> {
    let status = answer.status();
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map_or_else(|| "no content type".to_owned(), sanitised);
    let not_acme = || Error::NotAcme { host: host(url), status: status.as_u16(), content_type: content_type.clone() };
    if status.is_success() {
        // RFC 8555 objects are JSON and certificates PEM: a page for people comes from somebody else.
        return if content_type.starts_with("text/html") { Err(not_acme()) } else { Ok(answer) };
    }
    if status.is_redirection() {
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        return Err(Error::Redirected { url: sanitised(&url.to_string()), location: sanitised(location) });
    }
    let sent_at = sent_at(answer.headers());
    let retry_at = retry_at(answer.headers(), sent_at);
    let wait = retry_at.map(|instant| Duration::try_from(instant.duration_since(sent_at)).unwrap_or_default());
    let unavailable = |detail| Error::Unavailable { host: host(url), status: status.as_u16(), detail, retry_at, wait };
    let problem = Problem::read(answer.body());
    let said = || problem.as_ref().map_or_else(|| content_type.clone(), ToString::to_string);
    match problem.as_ref().map(|problem| problem.kind.as_str()) {
        Some("badNonce") => Err(Error::BadNonce { attempts: NONCE_ATTEMPTS }),
        // Let's Encrypt says so when it is overloaded: that is no limit of ours.
        Some("rateLimited") if status == StatusCode::SERVICE_UNAVAILABLE => Err(unavailable(said())),
        // The link is all that tells a pause from other limits.
        Some("rateLimited") if said().contains("/unpause") => Err(Error::Paused { detail: said() }),
        Some("rateLimited") => Err(Error::RateLimited { detail: said(), retry_at }),
        _ if status == StatusCode::TOO_MANY_REQUESTS => Err(Error::RateLimited { detail: said(), retry_at }),
        _ if status.is_server_error() => Err(unavailable(said())),
        Some("accountDoesNotExist") => Err(Error::AccountGone { detail: said() }),
        Some("externalAccountRequired") => Err(Error::ExternalAccountRequired),
        // RFC 9773, section 5; some authorities say it by the status alone.
        Some("alreadyReplaced") => Err(Error::ReplacesRefused { detail: said() }),
        Some(_) if status == StatusCode::CONFLICT => Err(Error::ReplacesRefused { detail: said() }),
        _ => Err(problem.map_or_else(not_acme, |problem| Error::Refused(Box::new(problem)))),
    }
}

/// The host of a URL, for people.
pub(super) fn host(url: &Uri) -> String {
    sanitised(url.authority().map_or("the authority", http::uri::Authority::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |value| retry_at(&headers(value), now).map(|instant| instant.to_string());
        assert_eq!(at("120").as_deref(), Some("2026-11-22T12:02:00Z"));
        assert_eq!(at("Sun, 22 Nov 2026 13:00:00 GMT").as_deref(), Some("2026-11-22T13:00:00Z"));
        assert_eq!(at("99999999999999999999999").as_deref(), Some("2026-11-29T12:00:00Z"));
        assert_eq!(at("soon"), None);
        assert_eq!(at(""), None);
        assert_eq!(at("-1"), None);
        assert_eq!(retry_at(&HeaderMap::new(), now), None);
    }

    #[test]
    fn links_are_found_by_their_relation_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, "<https://ca.test/dir>;rel=\"index\"".parse().unwrap());
        assert_eq!(links(&headers, "next"), Vec::<String>::new());
        headers.append(LINK, "<https://ca.test/a>; rel=\"up\", <https://ca.test/b>; rel=next".parse().unwrap());
        headers.append(LINK, "<https://ca.test/c>;rel=\"next\"".parse().unwrap());
        assert_eq!(links(&headers, "next"), ["https://ca.test/b", "https://ca.test/c"]);
    }

    fn answer(status: u16, content_type: &str, body: &'static str) -> Result<Response<Bytes>, Error> {
        let answer = Response::builder().status(status).header(CONTENT_TYPE, content_type).header(RETRY_AFTER, "60");
        checked(&Uri::from_static("https://ca.test/dir"), answer.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    #[test]
    fn every_answer_that_is_not_acme_has_its_own_error() {
        assert!(answer(200, "application/json", "{}").is_ok());
        assert!(matches!(answer(200, "text/html; charset=utf-8", ""), Err(Error::NotAcme { status: 200, .. })));
        assert!(matches!(answer(404, "text/plain", "no"), Err(Error::NotAcme { status: 404, .. })));
        assert!(matches!(answer(502, "text/html", "bad"), Err(Error::Unavailable { retry_at: Some(_), .. })));
        assert!(matches!(answer(302, "text/html", ""), Err(Error::Redirected { .. })));
        assert!(matches!(answer(429, "text/html", ""), Err(Error::RateLimited { retry_at: Some(_), .. })));
    }

    #[test]
    fn a_pause_is_told_from_a_rate_limit_by_its_link() {
        let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
        let paused =
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"visit https://x.test/sfe/v1/unpause?jwt=a"}"#;
        assert!(matches!(answer(429, "application/problem+json", limited), Err(Error::RateLimited { .. })));
        assert!(matches!(answer(429, "application/problem+json", paused), Err(Error::Paused { .. })));
    }
}
