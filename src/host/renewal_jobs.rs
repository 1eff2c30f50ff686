//! Jobs of other programs that reload `HAProxy` for new certificates: tables and directories of cron, hooks of certbot and dehydrated,
//! commands that acme.sh remembers. They are found by their text, and never run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::cron::{self, SHOWN};
use super::reloads::is_reload;
use super::text;
use crate::model::printable;

/// Hooks of certbot, which runs those that are executable.
const CERTBOT_HOOKS: [&str; 3] =
    ["etc/letsencrypt/renewal-hooks/deploy", "etc/letsencrypt/renewal-hooks/post", "etc/letsencrypt/renewal-hooks/pre"];
/// What certbot remembers, and what it is told for all.
const CERTBOT_KEYS: [&str; 6] = ["renew_hook", "deploy_hook", "post_hook", "deploy-hook", "post-hook", "renew-hook"];
/// Where acme.sh lives, besides in the homes of users.
const ACME_SH: [&str; 4] = ["root/.acme.sh", "etc/acme.sh", "opt/acme.sh", "var/lib/acme.sh"];
/// Around what acme.sh writes in base64.
const ENCODED: (&str, &str) = ("__ACME_BASE64__START_", "__ACME_BASE64__END_");
/// Where dehydrated has its configuration and, mostly, its hook.
const DEHYDRATED: [&str; 3] = ["etc/dehydrated", "usr/local/etc/dehydrated", "opt/dehydrated"];
/// Jobs that are told: who has more has one cause.
const JOBS: usize = 100;

/// Whose job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobOwner {
    /// A table or directory of cron.
    Cron,
    /// certbot.
    Certbot,
    /// acme.sh.
    AcmeSh,
    /// dehydrated.
    Dehydrated,
}

/// A line that reloads `HAProxy`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RenewalJob {
    /// The file, as it is called on that machine.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// Whose job it is.
    pub owner: JobOwner,
    /// The line, shortened.
    pub command: String,
}

/// What is looked at, and what was found.
struct Search<'a> {
    root: &'a Path,
    found: BTreeSet<RenewalJob>,
    /// Files that were read already.
    read: BTreeSet<PathBuf>,
}

/// The jobs of the machine whose files are below `root`.
#[must_use]
pub fn renewal_jobs(root: &Path) -> Vec<RenewalJob> {
    let mut search = Search { root, found: BTreeSet::new(), read: BTreeSet::new() };
    for table in cron::tables(root) {
        search.lines(&table, JobOwner::Cron);
    }
    search.programs(cron::programs(root), JobOwner::Cron);
    let hooks = CERTBOT_HOOKS.iter().flat_map(|place| text::entries(&root.join(place)));
    search.programs(hooks, JobOwner::Certbot);
    search.settings(&root.join("etc/letsencrypt/cli.ini"), JobOwner::Certbot, &CERTBOT_KEYS);
    for file in text::entries(&root.join("etc/letsencrypt/renewal")) {
        search.settings(&file, JobOwner::Certbot, &CERTBOT_KEYS);
    }
    search.acme_sh();
    for place in DEHYDRATED.map(|place| root.join(place)) {
        search.settings(&place.join("config"), JobOwner::Dehydrated, &["HOOK"]);
        for file in text::entries(&place).iter().filter(|file| file.extension().is_some_and(|end| end == "sh")) {
            search.lines(file, JobOwner::Dehydrated);
        }
    }
    search.found.into_iter().take(JOBS).collect()
}

impl Search<'_> {
    /// Looks at every line of a file, and of the scripts that a line names.
    fn lines(&mut self, file: &Path, owner: JobOwner) {
        if !self.read.insert(file.to_owned()) {
            return;
        }
        let Some(content) = text::of(self.root, file) else { return };
        for (number, line) in (1..).zip(content.lines()) {
            self.line(file, number, line, owner);
        }
    }

    fn line(&mut self, file: &Path, number: usize, line: &str, owner: JobOwner) {
        if is_reload(line) {
            let file = text::shown(self.root, file);
            self.found.insert(RenewalJob { file, line: number, owner, command: printable(line.trim(), SHOWN) });
        } else if !line.trim_start().starts_with('#') {
            for script in line.split(|letter: char| letter.is_whitespace() || "\"';|&()=`".contains(letter)) {
                if let Some(inside) = script.strip_prefix('/') {
                    self.script(&self.root.join(inside), owner);
                }
            }
        }
    }

    /// Looks into a script that is named by somebody else, but no further.
    fn script(&mut self, file: &Path, owner: JobOwner) {
        if self.read.contains(file) || !is_executable(file) {
            return;
        }
        self.read.insert(file.to_owned());
        let Some(content) = text::of(self.root, file).filter(|content| content.starts_with("#!")) else { return };
        for (number, line) in (1..).zip(content.lines()).filter(|(_, line)| is_reload(line)) {
            let file = text::shown(self.root, file);
            self.found.insert(RenewalJob { file, line: number, owner, command: printable(line.trim(), SHOWN) });
        }
    }

    /// Looks at those files that can be run.
    fn programs(&mut self, files: impl Iterator<Item = PathBuf>, owner: JobOwner) {
        for file in files {
            if text::followed(self.root, &file).is_some_and(|file| is_executable(&file)) {
                self.lines(&file, owner);
            }
        }
    }

    /// Looks at the values of some keys.
    fn settings(&mut self, file: &Path, owner: JobOwner, keys: &[&str]) {
        let Some(content) = text::of(self.root, file) else { return };
        for (number, line) in (1..).zip(content.lines()) {
            if line.split_once('=').is_some_and(|(key, _)| keys.contains(&key.trim())) {
                self.line(file, number, line, owner);
            }
        }
    }

    /// Looks at what acme.sh remembers of each certificate.
    fn acme_sh(&mut self) {
        let homes = text::entries(&self.root.join("home")).into_iter().map(|home| home.join(".acme.sh"));
        let places: Vec<_> = ACME_SH.iter().map(|place| self.root.join(place)).chain(homes).collect();
        for certificate in places.iter().flat_map(|place| text::entries(place)) {
            for file in
                text::entries(&certificate).iter().filter(|file| file.extension().is_some_and(|end| end == "conf"))
            {
                let Some(content) = text::of(self.root, file) else { continue };
                for (number, line) in (1..).zip(content.lines()) {
                    if let Some(command) = remembered(line) {
                        self.line(file, number, &command, JobOwner::AcmeSh);
                    }
                }
            }
        }
    }
}

/// A command that acme.sh runs after a renewal, as in `Le_ReloadCmd='__ACME_BASE64__START_…__ACME_BASE64__END_'`.
fn remembered(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    if !["Le_ReloadCmd", "Le_RenewHook", "Le_PostHook"].contains(&key) {
        return None;
    }
    let value = value.trim().trim_matches('\'');
    let Some(encoded) = value.strip_prefix(ENCODED.0).and_then(|rest| rest.strip_suffix(ENCODED.1)) else {
        return Some(value.to_owned());
    };
    Some(String::from_utf8_lossy(&BASE64_STANDARD.decode(encoded).ok()?).replace(['\n', '\r'], "; "))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_job_is_found_with_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, mode: u32, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let encoded = BASE64_STANDARD.encode("cat a b > c\nservice haproxy reload");
        write("etc/crontab", 0o644, "# m h\n0 3 * * * root systemctl reload haproxy\n1 1 * * * root /usr/bin/true\n");
        write("etc/cron.d/lego", 0o644, "5 5 * * * root lego renew --renew-hook /usr/local/bin/hook.sh\n");
        write("usr/local/bin/hook.sh", 0o755, "#!/bin/sh\ncp a b\nkill -USR2 $(cat /run/haproxy.pid)\n");
        write("etc/cron.daily/renew", 0o755, "#!/bin/sh\nservice haproxy reload\n");
        write("etc/cron.daily/off", 0o644, "#!/bin/sh\nservice haproxy reload\n");
        write("etc/letsencrypt/renewal-hooks/deploy/haproxy", 0o755, "#!/bin/sh\nsystemctl reload haproxy\n");
        write(
            "etc/letsencrypt/renewal/a.test.conf",
            0o644,
            "# x\nversion = 2\n[renewalparams]\nrenew_hook = systemctl reload haproxy\n",
        );
        write(
            "opt/acme.sh/a.test_ecc/a.test.conf",
            0o600,
            &format!("Le_Domain='a.test'\nLe_ReloadCmd='{}{encoded}{}'\n", ENCODED.0, ENCODED.1),
        );
        write("etc/dehydrated/hook.sh", 0o755, "#!/bin/sh\ndeploy_cert() {\n  systemctl reload haproxy\n}\n");
        let found: Vec<_> = renewal_jobs(root.path())
            .into_iter()
            .map(|job| format!("{}:{} {:?}", job.file.display(), job.line, job.owner))
            .collect();
        assert_eq!(
            found,
            [
                "/etc/cron.daily/renew:2 Cron",
                "/etc/crontab:2 Cron",
                "/etc/dehydrated/hook.sh:3 Dehydrated",
                "/etc/letsencrypt/renewal/a.test.conf:4 Certbot",
                "/etc/letsencrypt/renewal-hooks/deploy/haproxy:2 Certbot",
                "/opt/acme.sh/a.test_ecc/a.test.conf:2 AcmeSh",
                "/usr/local/bin/hook.sh:3 Cron",
            ]
        );
        assert_eq!(renewal_jobs(Path::new("/nowhere")), []);
    }

    #[test]
    fn a_file_of_any_bytes_is_survived() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/cron.d")).unwrap();
        let mut bytes = b"* * * * * root systemctl reload haproxy \x1b[2J\xff\xfe\n".to_vec();
        bytes.extend(vec![0; 1000]);
        fs::write(root.path().join("etc/cron.d/x"), bytes).unwrap();
        std::os::unix::fs::symlink("loop", root.path().join("etc/cron.d/loop")).unwrap();
        let found = renewal_jobs(root.path());
        assert_eq!(found.len(), 1);
        assert!(!found[0].command.contains('\u{1b}'), "{}", found[0].command);
    }
}
