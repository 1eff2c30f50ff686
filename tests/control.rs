//! The control socket: who may listen and talk, what becomes of bad peers, and that a command is the same through a daemon.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "control/bad_peers.rs"]
mod bad_peers;
#[path = "control/player.rs"]
mod player;
#[path = "control/program.rs"]
mod program;
#[path = "control/socket.rs"]
mod socket;

/// Not a test: another process of these tests, when one of them started it.
#[test]
fn as_another() {
    player::play();
}
