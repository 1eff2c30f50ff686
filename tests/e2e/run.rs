//! `hotcert run`: HAProxy and hotcert live side by side, through restarts, reloads, signals and crashes.

mod few;
mod restart;
mod signals;
mod watch;
