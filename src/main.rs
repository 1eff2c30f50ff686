//! The program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hotcert::cli::run(std::env::args_os(), hotcert::observe::init)
}
