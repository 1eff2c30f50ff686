//! The program; everything is in the library.

use std::process::ExitCode;

/// The sidecar runs for months beside HAProxy. What a busy moment needed is given back by this allocator within a minute; the
/// system's keeps it, where several threads had a part in it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hotcert::cli::run(std::env::args_os(), hotcert::observe::init)
}
