//! What is answered at which path.

use super::page::serve;
use super::server::Route;
use super::{health, metrics};

/// Every path. What is not here is not found.
pub(super) const ROUTES: &[Route] = &[
    Route { path: "/", answer: serve::page },
    Route { path: "/page.css", answer: serve::style },
    Route { path: "/page.js", answer: serve::script },
    Route { path: "/icon.svg", answer: serve::icon },
    Route { path: "/live", answer: serve::live },
    Route { path: "/status.json", answer: serve::status },
    Route { path: "/healthz", answer: health::healthz },
    Route { path: "/readyz", answer: health::readyz },
    Route { path: "/metrics", answer: metrics::metrics },
];
