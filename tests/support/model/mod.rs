//! A HAProxy in memory: what its runtime API answers, and what its clients are then shown.
//!
//! `tests/conformance.rs` holds it to the real ones, so that whatever is proved with it is true of them; where the two differ,
//! the real one is right. It knows server certificates, crt-lists, directories and maps, not what is stapled, nor the files
//! that 3.2 lists for a slot.

pub mod bench;
mod command;
pub mod content;
pub mod peer;
pub mod process;
pub mod profile;
mod show;

pub use bench::{Bench, Subject};
pub use content::Content;
pub use peer::Fake;
pub use process::{BindLine, Layout, Source};
pub use profile::Profile;
