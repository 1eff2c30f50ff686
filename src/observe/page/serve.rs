//! The page and its parts over HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use jiff::Timestamp;
use tokio::time::timeout;

use super::{ICON, POLICY, Query, SCRIPT, STYLE, document};
use crate::observe::overview::{Happening, Overview};
use crate::observe::server::{Answer, whole};
use crate::observe::snapshot::{Feed, Snapshot};

/// How long a stream is silent at most: a proxy ends what it takes for dead, some after ten seconds.
const SILENCE: Duration = Duration::from_secs(5);

/// `/`: how everything stands, for people.
pub(in crate::observe) fn page(feed: &Feed, parts: &Parts) -> Answer {
    let snapshot = feed.latest();
    let query = Query::read(parts.uri.query());
    let html = document(snapshot.overview().as_ref(), &query, snapshot.at, Timestamp::now());
    let mut answer = whole(StatusCode::OK, "text/html; charset=utf-8", html);
    if let Answer::Whole(response) = &mut answer {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    answer
}

/// `/page.css`
pub(in crate::observe) fn style(_: &Feed, _: &Parts) -> Answer {
    whole(StatusCode::OK, "text/css; charset=utf-8", STYLE)
}

/// `/page.js`
pub(in crate::observe) fn script(_: &Feed, _: &Parts) -> Answer {
    whole(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)
}

/// `/icon.svg`
pub(in crate::observe) fn icon(_: &Feed, _: &Parts) -> Answer {
    whole(StatusCode::OK, "image/svg+xml", ICON)
}

/// `/status.json`: what `hotcert status --json` prints.
pub(in crate::observe) fn status(feed: &Feed, _: &Parts) -> Answer {
    if let Some(report) = &feed.latest().report {
        let json = serde_json::to_vec_pretty(&**report).expect("a report consists of texts, numbers and lists");
        return whole(StatusCode::OK, "application/json", json);
    }
    let json = "{\"error\": {\"message\": \"not every node was looked at yet\", \"kind\": \"starting\"}}\n";
    whole(StatusCode::SERVICE_UNAVAILABLE, "application/json", json)
}

/// `/live`: says when there is news (server-sent events; WHATWG HTML, section 9.2). What is new is for the page to fetch.
pub(in crate::observe) fn live(feed: &Feed, _: &Parts) -> Answer {
    let mut snapshots = feed.snapshots.clone();
    // The page fetches itself once when the stream begins.
    snapshots.mark_unchanged();
    let news = stream::unfold(snapshots, |mut snapshots| async move {
        let said: &[u8] = match timeout(SILENCE, snapshots.changed()).await {
            Ok(Ok(())) => b"data: news\n\n",
            Ok(Err(_)) => return None,
            Err(_) => b":\n\n",
        };
        Some((Bytes::from_static(said), snapshots))
    });
    let begin = stream::iter([Bytes::from_static(b":\n\n")]);
    let mut response: Response<std::pin::Pin<Box<dyn stream::Stream<Item = Bytes> + Send>>> =
        Response::new(Box::pin(stream::StreamExt::chain(begin, news)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Answer::Stream(response)
}

impl Snapshot {
    /// It prepared for people; `None` until every node was tried.
    #[must_use]
    pub fn overview(self: &Arc<Self>) -> Option<Overview> {
        let report = self.report.as_ref()?;
        Some(Overview::of(report, Some(self.events.iter().map(Happening::of).collect())))
    }
}
