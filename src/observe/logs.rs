//! Logs on standard error.
//!
//! Progress and logs are one thing. INFO is what changed, WARN what an operator should look at, ERROR what puts service at
//! risk. Only our own events are shown: libraries log what they send, and that may be secret.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How much is said, and how.
#[derive(Debug, Clone, Copy)]
pub struct Logs {
    /// The least level that is shown.
    pub level: LevelFilter,
    /// Whether to colour.
    pub color: bool,
    /// Whether a person reads along: then no time and no module.
    pub terminal: bool,
}

/// Starts logging; a second call has no effect.
pub fn init(logs: Logs) {
    let format = fmt::layer().with_writer(std::io::stderr).with_ansi(logs.color).with_target(!logs.terminal);
    let layer = if logs.terminal { format.without_time().boxed() } else { format.boxed() };
    let ours = Targets::new().with_target("hotcert", logs.level);
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}
