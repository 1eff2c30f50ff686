//! What is answered at which path.

use super::server::Route;
use super::{health, metrics};

/// Every path. What is not here is not found.
pub(super) const ROUTES: &[Route] = &[
    Route { path: "/healthz", answer: health::healthz },
    Route { path: "/readyz", answer: health::readyz },
    Route { path: "/metrics", answer: metrics::metrics },
];
