//! The state directory: it holds every private key, so nobody else may reach it, and hotcert must.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::node::myself;
use super::who::Who;
use super::{Check, Finding, count};
use crate::store::publish;

/// How many files are looked at: ten thousand certificates, with some generations each.
const FILES: usize = 200_000;
/// How many are told one by one.
const TOLD: usize = 3;

/// What is wrong with the files in it.
#[derive(Default)]
struct Faults {
    seen: usize,
    open: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
    left: Vec<PathBuf>,
}

pub(super) fn check(state_dir: &Path, who: &Who) -> Vec<Finding> {
    let (check, subject) = (Check::StateDir, state_dir.display());
    let user = who.user(myself().uid);
    let found = match fs::metadata(state_dir) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return vec![missing(state_dir, who)],
        Err(error) => {
            let cure = format!("look by `namei -l {subject}`, and run this as the user that hotcert runs as");
            return vec![Finding::broken(check, subject, "it cannot be looked at", error.to_string(), cure)];
        }
    };
    let owner = who.owner_of(&found);
    if !found.is_dir() {
        let cure = "move it away, or name another `state_dir`";
        return vec![Finding::broken(check, &subject, "it is no directory", "something else has its name", cure)];
    }
    let mut findings = Vec::new();
    if found.mode() & 0o077 != 0 {
        let cause = format!("it is {owner}; every private key is in it, so hotcert refuses to use it");
        findings.push(Finding::broken(check, &subject, "others may enter it", cause, format!("chmod 700 {subject}")));
    }
    if rustix::fs::access(state_dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let message = format!("user {user} may not read and write it");
        let cause = format!("it is {owner}, or its file system is read-only");
        let cure = format!("run hotcert as {0}: `sudo -u {0} hotcert doctor`", who.user(found.uid()));
        findings.push(Finding::broken(check, &subject, message, cause, cure));
        return findings;
    }
    let mut faults = Faults::default();
    faults.walk(state_dir, found.uid());
    if !faults.open.is_empty() {
        let cause = format!("their mode is wider than 0600: {}", listed(&faults.open));
        let message = format!("{} could be read by others", count(faults.open.len(), "file"));
        findings.push(Finding::look(check, &subject, message, cause, format!("chmod -R go-rwx {subject}")));
    }
    if !faults.foreign.is_empty() {
        let message = format!(
            "{} to another user than the directory",
            if faults.foreign.len() == 1 {
                "1 file belongs".to_owned()
            } else {
                format!("{} files belong", faults.foreign.len())
            }
        );
        let cause =
            format!("they were copied there by hand, and the daemon may not read them: {}", listed(&faults.foreign));
        let cure = format!("chown -R {}:{} {subject}", who.user(found.uid()), who.group(found.gid()));
        findings.push(Finding::look(check, &subject, message, cause, cure));
    }
    if !faults.left.is_empty() {
        let message = format!("{} left by a program that was killed", count(faults.left.len(), "temporary file"));
        let cause = format!("{}: they do no harm", listed(&faults.left));
        let cure = "nothing: the next command that writes beside them takes them away".to_owned();
        findings.push(Finding::look(check, &subject, message, cause, cure));
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            check,
            &subject,
            format!("{owner}, and {} as it should be", count(faults.seen, "file")),
        ));
    }
    findings
}

fn missing(state_dir: &Path, who: &Who) -> Finding {
    let (check, subject) = (Check::StateDir, state_dir.display());
    let above = state_dir.ancestors().skip(1).find(|path| path.exists()).unwrap_or(Path::new("/"));
    if rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Finding::good(check, subject, "it is not there yet; the first command that stores something makes it");
    }
    let user = who.user(myself().uid);
    let message = format!("it is not there, and user {user} cannot make it");
    let cause = fs::metadata(above)
        .map_or_else(|error| error.to_string(), |found| format!("{} is {}", above.display(), who.owner_of(&found)));
    let cure = format!("as root: install -d -m 700 -o {user} {subject}");
    Finding::broken(check, subject, message, cause, cure)
}

impl Faults {
    fn walk(&mut self, directory: &Path, owner: u32) {
        self.left.extend(publish::abandoned(directory).unwrap_or_default());
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if self.seen >= FILES {
                return;
            }
            // Links have no mode of their own.
            let Ok(found) = entry.metadata() else { continue };
            let path = entry.path();
            if found.is_symlink() {
                continue;
            }
            if found.uid() != owner && found.uid() != 0 {
                self.foreign.push(path.clone());
            }
            if found.is_dir() {
                self.walk(&path, owner);
            } else {
                self.seen += 1;
                if found.mode() & 0o077 != 0 {
                    self.open.push(path);
                }
            }
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().take(TOLD).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > TOLD { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
