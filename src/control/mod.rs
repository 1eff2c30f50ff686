//! The local socket through which the program hands its commands to a daemon.
//!
//! Owns the transport: who may talk to whom, frames, deadlines and bounds. What is asked and answered is text to it; its ends
//! give it types. One connection carries one request:
//!
//! ```text
//!  client                      server
//!    | <------------ hello ------ |   version, process, and what the server tells of itself
//!    | ------- request ---------> |
//!    | <---------- working ------ |   every few seconds, so that silence means trouble
//!    | <------------ reply ------ |   or `refused`, with the reason
//! ```
//!
//! The server is found at [`CONTROL_SOCKET`](crate::store::CONTROL_SOCKET) in the state directory. It talks to root and to
//! its own user; a client talks to root and to the owner of the state directory. Of several servers one serves, and the others
//! stand by: the lock of the store decides, which the kernel releases however its holder ends.
//!
//! A request that has arrived as a whole is carried out to its end. A client that goes away cancels nothing, since half a change
//! is worse than one that nobody waits for: its reply is dropped. Requests are carried out at the same time; that they do
//! not meet is a matter of the locks of the store.
//!
//! There may be a private key in a request: buffers are wiped, and neither logs nor errors repeat anything of one.

mod client;
mod error;
mod frame;
mod server;

pub use client::Client;
pub use error::Error;
pub use server::Server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bundle::pem;

/// The most that a request may have, in bytes: two files as long as one may be, in base64, and room for the rest.
const REQUEST_LIMIT: usize = 2 * (pem::MAX_INPUT + 1) / 3 * 4 + 64 * 1024;
/// The most that a reply may have, in bytes: how 20,000 certificates stand takes about 30 MB.
const REPLY_LIMIT: usize = 64 * 1024 * 1024;
/// The most that a hello may have, in bytes: a thousand nodes, and more.
const HELLO_LIMIT: usize = 1024 * 1024;
/// How many clients are talked to at once; the others wait to be accepted. A burst of hooks that wait for their turn fits in, and the
/// usual limit of 1024 open files is far. Each may take as much memory as a request, which few need.
const CONNECTIONS: usize = 256;
/// How long a client waits for the hello; a server that is slower is stuck, and the client better works by itself.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// How long it may take to send or receive one message: moments, on one machine.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(10);
/// How often a server says that it is still at work.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a client bears silence.
const SILENCE_DEADLINE: Duration = Duration::from_secs(30);

/// What a server says first.
#[derive(Debug, Serialize, Deserialize)]
struct Hello<A> {
    /// Its version; another one may mean something else by the same words.
    version: String,
    /// Its process id.
    pid: u32,
    /// What its owner tells.
    about: A,
}

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
