//! `/metrics`: how everything stands, in numbers, for a Prometheus.
//!
//! The numbers are those of the latest [`Snapshot`]: a scrape asks neither a node nor the disk. There are as many series as are
//! configured, and no text of a stranger is in any. docs/monitoring.md explains each metric; a test holds the two together.

mod classic;
mod families;
mod process;
mod sheet;

use std::sync::Arc;

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::server::{Answer, whole};
use super::snapshot::{Feed, Snapshot};
use families::Scrape;
use process::Usage;

/// The two ways to write them down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `OpenMetrics` 1.0.0, which a Prometheus asks for.
    Open,
    /// The text format of Prometheus 0.0.4, which everything else reads.
    Classic,
}

pub(super) fn metrics(feed: &Feed, parts: &Parts) -> Answer {
    let format = Format::wanted_by(&parts.headers);
    match write(feed.latest(), Usage::now(), format) {
        Ok(text) => whole(StatusCode::OK, format.content_type(), text),
        // Nothing of it can fail but the memory.
        Err(std::fmt::Error) => {
            whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n")
        }
    }
}

fn write(snapshot: Arc<Snapshot>, usage: Usage, format: Format) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { snapshot, usage }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::Open => text,
        Format::Classic => classic::of(&text),
    })
}

impl Format {
    /// What a client understands; whoever says nothing gets the classic one, which a person can read as well.
    fn wanted_by(headers: &HeaderMap) -> Self {
        let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if accepted.any(|value| value.contains("application/openmetrics-text")) { Self::Open } else { Self::Classic }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests;
