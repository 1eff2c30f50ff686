//! The four ways to answer http-01 challenges behind HAProxy, from order to handshake.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]

mod support;

#[path = "e2e_http01/gate.rs"]
mod gate;
#[path = "e2e_http01/map.rs"]
mod map;
#[path = "e2e_http01/order.rs"]
mod order;
#[path = "e2e_http01/ways.rs"]
mod ways;

use support::{HaproxyVersion, PebbleVersion};

/// The servers of Debian 12, and newer ones.
const OLD: (HaproxyVersion, PebbleVersion) = (HaproxyVersion::V2_6, PebbleVersion::V2_4);
const NEW: (HaproxyVersion, PebbleVersion) = (HaproxyVersion::V3_2, PebbleVersion::V2_10);
