//! The sidecar as a service manager runs it: in two halves, and with a socket for what it has to say.

mod manager;
mod notify;
mod split;
