//! What hotcert says about itself: logs on standard error, and its state to the service manager.

mod logs;
mod notify;

pub use logs::{Logs, init};
pub use notify::Notifier;
