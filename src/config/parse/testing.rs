//! What the tests of tables have in common.

use std::path::Path;

use super::super::{Config, Error};
use super::parse;

/// A configuration of these lines and its version; or its problems, as they are told.
pub(super) fn parsed(lines: &str) -> Result<Config, Vec<String>> {
    match parse(Path::new("hotcert.toml"), &format!("version = 1\n{lines}\n")) {
        Ok(config) => Ok(config),
        Err(Error::Problems(problems)) => Err(problems.iter().map(ToString::to_string).collect()),
        Err(other) => panic!("{other}"),
    }
}
