//! What integration tests stand on: real servers, a test authority, a TLS client, and the program under test.
//!
//! Every server runs as a child of the test, in a directory of its own, on ports that the operating system picked, and is
//! killed and waited for on drop. A failed test keeps its directories and says where they are. Nothing here is
//! asynchronous: a test reads from top to bottom, and whatever must go on meanwhile has a thread.
//!
//! The servers come from `scripts/servers`; one that is missing fails the test with that hint.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    reason = "each test program uses its part of the harness"
)]
#![allow(clippy::print_stderr, reason = "a failed test says what its servers printed")]

pub mod authority;
pub mod bind;
pub mod certbot;
pub mod chance;
pub mod client;
pub mod disk;
pub mod dns;
pub mod fake;
pub mod hammer;
pub mod haproxy;
pub mod hotcert;
pub mod house;
pub mod http;
pub mod model;
pub mod names;
pub mod net;
pub mod other;
pub mod pdns;
pub mod pebble;
pub mod pki;
pub mod process;
pub mod scratch;
pub mod secrets;
pub mod sidecar;
pub mod simulation;
pub mod site;
pub mod steps;
pub mod tool;
pub mod town;
pub mod visitor;
pub mod webroot;

pub use bind::Bind;
pub use certbot::Certbot;
pub use chance::Chance;
pub use hammer::Hammer;
pub use haproxy::{Haproxy, HaproxyVersion, Http01};
pub use hotcert::{Hotcert, Outcome};
pub use house::House;
pub use names::Names;
pub use other::OtherAuthority;
pub use pdns::Pdns;
pub use pebble::{Pebble, PebbleVersion};
pub use pki::{KeyType, Leaf, Pki};
pub use scratch::Scratch;
pub use sidecar::Sidecar;
pub use site::Site;
pub use steps::{Point, Stepping, Steps};
pub use town::{Answering, Town};
pub use visitor::{Club, Visitor};
pub use webroot::Webroot;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a server may take to start, to reload or to stop: far above what a loaded machine needs.
pub const SERVER_DEADLINE: Duration = Duration::from_secs(30);

/// Makes one test for each HAProxy version of each function named, which takes a [`HaproxyVersion`]: `v2_6::NAME` and so on.
macro_rules! each_haproxy {
    (@versions $tests:tt $($module:ident $version:ident),+) => {
        $(each_haproxy! { @module $module $version $tests })+
    };
    (@module $module:ident $version:ident [$($test:ident)+]) => {
        mod $module {
            $(#[test] fn $test() { super::$test($crate::support::HaproxyVersion::$version); })+
        }
    };
    ($($test:ident),+ $(,)?) => {
        each_haproxy! { @versions [$($test)+] v2_6 V2_6, v2_8 V2_8, v3_0 V3_0, v3_2 V3_2 }
    };
}
pub(crate) use each_haproxy;

/// The program of a server that `scripts/servers` brought.
pub fn server(name: &str, version: &str, program: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".servers").join(format!("{name}-{version}")).join(program);
    assert!(path.exists(), "{} is missing\nhint: run ./scripts/servers", path.display());
    path
}

/// Asks `probe` every few milliseconds until it answers, or `deadline` has passed: then `None`.
pub fn poll<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lower-case hexadecimal without separators.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}
