//! The status page: one HTML document of how everything stands, with its style and its script.
//!
//! The document is whole without the script, which fetches it anew when the server says that there is news
//! (`/live`), and changes what differs. Nothing is taken from elsewhere, and no text is trusted (`html`). Of many certificates one
//! screenful is shown at a time, worst first, so that a page for 10,000 is as light as one for fifty.

mod certificates;
mod html;
mod query;
mod render;
pub(super) mod serve;
mod timeline;

pub use query::Query;
pub use render::document;

/// The style of the page.
pub const STYLE: &str = include_str!("page.css");
/// What keeps it fresh.
pub const SCRIPT: &str = include_str!("page.js");
/// Its mark in a tab.
pub const ICON: &str = include_str!("icon.svg");

/// What a browser may do for the page: take its parts from the same place, and nothing else from anywhere.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

use super::overview::Tone;

/// A shape for each tone, since colours are not seen by everyone.
fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "<span class=\"mark good\" aria-hidden=\"true\">●</span>",
        Tone::Look => "<span class=\"mark look\" aria-hidden=\"true\">▲</span>",
        Tone::Broken => "<span class=\"mark broken\" aria-hidden=\"true\">✖</span>",
    }
}
