//! What runs the renewals of another program on this machine, so that it can be switched off.

use std::fs;
use std::path::Path;

use super::Program;
use crate::model::printable;
use crate::store;

/// Where unit files lie (`systemd.unit(5)`).
const UNITS: [&str; 4] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
/// Directories of files in which each line is a job.
const TABLES: [&str; 3] = ["etc/cron.d", "var/spool/cron/crontabs", "var/spool/cron"];
/// Directories of scripts that are run.
const SCRIPTS: [&str; 4] = ["etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly"];
/// Jobs that are told.
const MOST: usize = 20;
/// Longest line that is told, in characters.
const SHOWN: usize = 200;

/// The jobs below a root directory, each with how it is switched off.
#[must_use]
pub fn jobs(program: Program, root: &Path) -> Vec<String> {
    let word = program.as_str();
    let mut found: Vec<String> = Vec::new();
    for directory in UNITS {
        let timers = entries(&root.join(directory)).into_iter();
        for timer in
            timers.filter(|name| name.contains(word) && Path::new(name).extension().is_some_and(|end| end == "timer"))
        {
            found.push(format!("the timer {timer}: `systemctl disable --now {timer}`"));
        }
    }
    let tables = TABLES.into_iter().flat_map(|directory| {
        entries(&root.join(directory)).into_iter().map(move |name| format!("{directory}/{name}"))
    });
    for table in tables.chain(["etc/crontab".to_owned()]) {
        let Ok(Some(bytes)) = store::read_file(&root.join(&table)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#') && line.contains(word));
        found.extend(lines.map(|line| format!("the line of /{table}: {}", printable(line, SHOWN))));
    }
    for directory in SCRIPTS {
        let scripts = entries(&root.join(directory)).into_iter().filter(|name| name.contains(word));
        found.extend(scripts.map(|name| format!("the script /{directory}/{name}")));
    }
    found.dedup();
    found.truncate(MOST);
    found
}

/// The names in a directory, in order, as far as they can be told.
fn entries(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| printable(name, SHOWN) == *name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_tables_and_scripts_of_the_program_are_told_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("lib/systemd/system/certbot.timer", "[Timer]"),
            ("lib/systemd/system/certbot.service", ""),
            ("lib/systemd/system/logrotate.timer", ""),
            ("etc/cron.d/certbot", "# certbot\n0 */12 * * * root certbot -q renew\n"),
            ("etc/crontab", "1 2 * * * root run-parts\n"),
            ("var/spool/cron/crontabs/root", "3 4 * * * \"/opt/acme.sh\"/acme.sh --cron\u{1b}[31m\n"),
            ("etc/cron.daily/dehydrated", "#!/bin/sh"),
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = |program| jobs(program, dir.path());
        assert_eq!(
            found(Program::Certbot),
            [
                "the timer certbot.timer: `systemctl disable --now certbot.timer`",
                "the line of /etc/cron.d/certbot: 0 */12 * * * root certbot -q renew"
            ]
        );
        assert_eq!(
            found(Program::AcmeSh),
            ["the line of /var/spool/cron/crontabs/root: 3 4 * * * \"/opt/acme.sh\"/acme.sh --cron[31m"]
        );
        assert_eq!(found(Program::Dehydrated), ["the script /etc/cron.daily/dehydrated"]);
        assert!(found(Program::Lego).is_empty());
    }
}
