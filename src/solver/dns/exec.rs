//! A program of the user's, called as lego calls it: `PROGRAM present NAME VALUE` and `PROGRAM cleanup NAME VALUE`.
//!
//! `NAME` is absolute, with a final dot. The environment has `PATH` and `HOME`, standard input is empty, and the exit code 0 is
//! success.

use std::path::Path;

use rustix::fs::{Access, access};

use super::secret::Hidden;
use super::{Change, Error, program};
use crate::model::Record;

pub(super) async fn change(path: &Path, change: Change, record: &Record) -> Result<(), Error> {
    let mut command = program::command(path);
    command.args(arguments(change, record)).envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
    program::run(path, &mut command, program::DEADLINE, &Hidden::default()).await
}

/// Checks that there is something to run.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Run { program: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    access(path, Access::EXEC_OK).map_err(|error| failed(error.into()))
}

fn arguments(change: Change, record: &Record) -> [String; 3] {
    let verb = match change {
        Change::Add => "present",
        Change::Remove => "cleanup",
    };
    [verb.to_owned(), format!("{}.", record.name), record.value.to_string()]
}
