//! The four ways to answer http-01 challenges behind HAProxy, from order to handshake.

mod gate;
mod map;
mod order;
mod ways;

use crate::support::{HaproxyVersion, PebbleVersion};

/// The servers of Debian 12, and newer ones.
const OLD: (HaproxyVersion, PebbleVersion) = (HaproxyVersion::V2_6, PebbleVersion::V2_4);
const NEW: (HaproxyVersion, PebbleVersion) = (HaproxyVersion::V3_2, PebbleVersion::V2_10);
