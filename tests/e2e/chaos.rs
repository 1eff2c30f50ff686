//! `hotcert run` through anything: reloads, rivals, signals, crashes and broken disks, at random moments from a printed seed.

#![allow(clippy::print_stderr, reason = "a test says what it met")]

mod disks;
mod kills;
mod reloads;
mod rivals;
mod stops;
