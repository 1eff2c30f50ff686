//! The sidecar as a service manager runs it: in two halves, and with a socket for what it has to say.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "e2e_roles/manager.rs"]
mod manager;
#[path = "e2e_roles/notify.rs"]
mod notify;
#[path = "e2e_roles/split.rs"]
mod split;
