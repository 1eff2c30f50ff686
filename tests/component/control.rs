//! The control socket: who may listen and talk, what becomes of bad peers, and that a command is the same through a daemon.

mod bad_peers;
mod player;
mod program;
mod socket;

/// Not a test: another process of these tests, when one of them started it.
#[test]
fn as_another() {
    player::play();
}
