//! What hotcert says about itself: logs on standard error, its state to the service manager, and over HTTP how everything stands.
//!
//! What is shown over HTTP comes from one [`Snapshot`], which the daemon replaces as a whole; whoever shows it asks nobody, changes
//! nothing and holds up nothing. A new page is a line in the table of routes.

mod error;
pub mod events;
mod health;
mod history;
mod logs;
mod metrics;
mod notify;
pub mod overview;
pub mod page;
mod routes;
mod server;
mod snapshot;
#[cfg(test)]
mod testing;

pub use error::Error;
pub use logs::{Logs, init};
pub use notify::Notifier;
pub use server::Server;
pub use snapshot::{Counters, Event, EventKind, Feed, IssuerState, Pulse, Round, Snapshot};
