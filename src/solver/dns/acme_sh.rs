//! The scripts of acme.sh for DNS providers, which are functions of a shell that use functions of acme.sh itself.
//!
//! `acme.sh`, when it is sourced, runs its arguments as one of its functions; by `_initpath` it settles its paths and returns, so that
//! all of its functions are there for the script. That runs in a `sh` of its own, whose home is a private directory that is
//! removed afterwards: these scripts save credentials. The text that the shell reads is a constant.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::secret::{self, Hidden};
use super::{Change, Error, PROGRAM_DEADLINE};
use crate::model::Record;
use crate::program;

/// `$0` is the path of `acme.sh`, from which it finds its directory. What follows it: the name of the script, of the function, of the
/// record, and its value.
const PROGRAM: &str = r#"
hotcert_script=$1 hotcert_function=$2 hotcert_name=$3 hotcert_value=$4
set -- _initpath
. "$0" || exit
. "$hotcert_script" || exit
"$hotcert_function" "$hotcert_name" "$hotcert_value"
"#;

/// The shell for which acme.sh is written.
const SHELL: &str = "/bin/sh";

/// One of acme.sh's scripts.
pub(super) struct Script<'a> {
    pub(super) api: &'a str,
    pub(super) home: &'a Path,
    pub(super) environment: Option<&'a Path>,
}

impl Script<'_> {
    pub(super) async fn change(&self, scratch: &Path, change: Change, record: &Record) -> Result<(), Error> {
        let script = self.path()?;
        let mut command = program::command(SHELL);
        let mut hidden = Hidden::default();
        if let Some(path) = self.environment {
            let text = secret::read(path)?;
            for (name, value) in variables(path, &text)? {
                hidden.add(value);
                command.env(name, value);
            }
        }
        // Wherever it might write: none of it is to outlive the call.
        for name in ["HOME", "LE_WORKING_DIR", "LE_CONFIG_HOME", "TMPDIR"] {
            command.env(name, scratch);
        }
        // Without the time and colours, what it prints is shorter.
        command.env("NO_TIMESTAMP", "1").env("ACME_NO_COLOR", "1").current_dir(scratch);
        let function = match change {
            Change::Add => format!("{}_add", self.api),
            Change::Remove => format!("{}_rm", self.api),
        };
        command.arg("-c").arg(PROGRAM).arg(self.home.join("acme.sh")).arg(&script).arg(function);
        command.arg(record.name.as_str()).arg(record.value.as_str());
        let ran = program::run(&script, &mut command, None, PROGRAM_DEADLINE).await;
        Ok(ran.map_err(|error| error.masked(|output| hidden.mask(output)))?)
    }

    /// The file of the script.
    fn path(&self) -> Result<PathBuf, Error> {
        let script = self.home.join("dnsapi").join(format!("{}.sh", self.api));
        for path in [&script, &self.home.join("acme.sh")] {
            // Never opened unless it is a file: opening a pipe waits for its writer.
            let other = || Err(io::Error::other("it is not a regular file"));
            let found =
                fs::metadata(path).and_then(|found| if found.is_file() { File::open(path).map(drop) } else { other() });
            found.map_err(|source| Error::NoScript { path: path.clone(), source })?;
        }
        Ok(script)
    }
}

/// Checks that the script is there, and that the environment can be understood.
pub(super) fn check(script: &Script<'_>) -> Result<(), Error> {
    script.path()?;
    match script.environment {
        Some(path) => variables(path, &secret::read(path)?).map(drop),
        None => Ok(()),
    }
}

/// The lines `NAME=value`; quotes around a value and an `export` before the name are left out, for these lines come from shells.
fn variables<'a>(path: &Path, text: &'a str) -> Result<Vec<(&'a str, &'a str)>, Error> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |reason| Error::Environment { path: path.to_owned(), line: number, reason };
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("it is not NAME=value"))?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(wrong("the name of a variable has letters, digits and `_`"));
        }
        let inner = |quote| value.strip_prefix(quote).and_then(|value: &str| value.strip_suffix(quote));
        let value = inner('\'').or_else(|| inner('"')).unwrap_or(value);
        if value.contains('\0') {
            return Err(wrong("the value has a zero byte"));
        }
        found.push((name, value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_lines_of_names_and_values() {
        let path = Path::new("/etc/env");
        let text = "# of Cloudflare\nexport CF_Token='a=b c'\n\nCF_Zone_ID=\"z\"\nPLAIN=$HOME `id`\nEMPTY=";
        let expected = [("CF_Token", "a=b c"), ("CF_Zone_ID", "z"), ("PLAIN", "$HOME `id`"), ("EMPTY", "")];
        assert_eq!(variables(path, text).unwrap(), expected);
        for (text, line) in [("A=1\nnothing", 2), ("=x", 1), ("a-b=x", 1), ("1A=x", 1), ("A=\0", 1)] {
            let error = variables(path, text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("/etc/env:{line}: ")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_script_gets_its_words_as_they_are() {
        let home = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("dnsapi")).unwrap();
        std::fs::write(home.path().join("acme.sh"), "_initpath() { :; }\n\"$@\"\n").unwrap();
        let script = "dns_x_rm() { printf '[%s]' \"$#\" \"$@\" \"$HOME\" \"$X\"; return 3; }\n";
        std::fs::write(home.path().join("dnsapi/dns_x.sh"), script).unwrap();
        let environment = home.path().join("env");
        std::fs::write(&environment, "X=$(id) '\";\n").unwrap();
        let script = Script { api: "dns_x", home: home.path(), environment: Some(&environment) };
        check(&script).unwrap();
        let record =
            Record { name: "_acme-challenge.a.test".parse().unwrap(), value: crate::model::RecordValue::of("x") };
        let error = script.change(scratch.path(), Change::Remove, &record).await.unwrap_err().to_string();
        let words = format!("[2][_acme-challenge.a.test][{}][{}][…]", record.value, scratch.path().display());
        assert!(error.contains("(exit status: 3)") && error.ends_with(&words), "{error}");
        assert!(check(&Script { api: "dns_y", ..script }).is_err());
    }
}
