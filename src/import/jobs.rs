//! What runs the renewals of another program on this machine, so that it can be switched off.

use std::path::Path;

use super::Program;
use crate::host::{CronJob, cron_jobs, units};
use crate::model::printable;

/// Jobs that are told.
const MOST: usize = 20;
/// Longest job that is told, in characters.
const SHOWN: usize = 500;

/// The jobs of the machine whose files are below `root`, each with how it is switched off.
#[must_use]
pub fn jobs(program: Program, root: &Path) -> Vec<String> {
    let word = program.as_str();
    let timers = units(root).into_iter().map(|unit| unit.name);
    let timers =
        timers.filter(|name| name.contains(word) && Path::new(name).extension().is_some_and(|end| end == "timer"));
    let timers = timers.map(|timer| format!("the timer {timer}: `systemctl disable --now {timer}`"));
    let cron = cron_jobs(root, word).into_iter().map(|job| match job {
        CronJob::Line { table, line } => format!("the line of {}: {line}", table.display()),
        CronJob::Program(program) => format!("the script {}", program.display()),
    });
    timers.chain(cron).take(MOST).map(|job| printable(&job, SHOWN)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

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
            ("etc/periodic/daily/dehydrated", "#!/bin/sh"),
            ("etc/anacrontab", "1 5 lego lego renew\n"),
            ("etc/systemd/system/lego\u{1b}[2J.timer", "[Timer]"),
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
        assert_eq!(
            found(Program::Dehydrated),
            ["the script /etc/cron.daily/dehydrated", "the script /etc/periodic/daily/dehydrated"]
        );
        assert_eq!(
            found(Program::Lego),
            [
                "the timer lego[2J.timer: `systemctl disable --now lego[2J.timer`",
                "the line of /etc/anacrontab: 1 5 lego lego renew"
            ]
        );
    }
}
