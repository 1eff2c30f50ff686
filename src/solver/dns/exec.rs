//! A program of the user's, called as lego calls it: `PROGRAM present NAME VALUE` and `PROGRAM cleanup NAME VALUE`.
//!
//! `NAME` is absolute, with a final dot. The environment has `PATH` and `HOME`, standard input is empty, and the exit code 0 is
//! success.

use std::path::Path;

use rustix::fs::{Access, access};

use super::{Change, Error, PROGRAM_DEADLINE};
use crate::model::Record;
use crate::program;

pub(super) async fn change(path: &Path, change: Change, record: &Record) -> Result<(), Error> {
    let mut command = program::command(path);
    command.args(arguments(change, record)).envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
    Ok(program::run(path, &mut command, None, PROGRAM_DEADLINE).await?)
}

/// Checks that there is something to run.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let failed = |source| program::Error::Run { program: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")).into());
    }
    Ok(access(path, Access::EXEC_OK).map_err(|error| failed(error.into()))?)
}

fn arguments(change: Change, record: &Record) -> [String; 3] {
    let verb = match change {
        Change::Add => "present",
        Change::Remove => "cleanup",
    };
    [verb.to_owned(), format!("{}.", record.name), record.value.to_string()]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{DnsName, RecordValue};

    proptest! {
        /// Whatever a name or a value is made of, a program gets three words that nothing takes for anything else.
        #[test]
        fn nothing_but_names_and_digests_gets_to_a_program(name in any::<String>(), odd in "[-_.a-zA-Z0-9*;$`\\s]{1,80}", value in any::<String>()) {
            for text in [name, odd] {
                let Ok(name) = text.parse::<DnsName>() else { continue };
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
                prop_assert!(name.as_str().bytes().all(plain) && !name.as_str().starts_with('-'), "{name}");
                let record = Record { name: name.clone(), value: RecordValue::of(&value) };
                let expected = ["present".to_owned(), format!("{name}."), record.value.to_string()];
                prop_assert_eq!(arguments(Change::Add, &record), expected);
            }
            if let Ok(value) = value.parse::<RecordValue>() {
                prop_assert!(value.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            }
        }
    }

    #[tokio::test]
    async fn a_program_gets_its_words_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("a program; with $(odd) name");
        std::fs::write(&program, "#!/bin/sh\nprintf '[%s]' \"$#\" \"$@\"; exit 1\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        check(&program).unwrap();
        let value = RecordValue::of("x");
        let record = Record { name: "_acme-challenge.a.test".parse().unwrap(), value: value.clone() };
        let error = change(&program, Change::Remove, &record).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("and printed: [3][cleanup][_acme-challenge.a.test.][{value}]")), "{error}");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(check(directory.path()).is_err() && check(&directory.path().join("none")).is_err());
    }
}
