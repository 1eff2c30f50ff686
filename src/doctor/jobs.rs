//! What else on this machine is there for certificates: service units and jobs that reload `HAProxy`, and hotcert's own service.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::node::path_of;
use super::who::{Person, SEARCH, WRITE, Who};
use super::{Check, Finding, count};
use crate::config::Config;
use crate::host::{JobOwner, Unit, renewal_jobs, units};

/// Why a reload is not wanted.
const RELOADS: &str = "each reload leaves an old worker behind, which serves what it had for as long as its connections last; hotcert loads certificates without one";
/// The services of hotcert that talk to `HAProxy`, of which a machine has one.
const OWN: [&str; 3] = ["hotcert.service", "hotcert-loader.service", "hotcert-renew.service"];

/// Looks at the files of the system.
pub(super) fn check(config: &Config, root: &Path) -> Vec<Finding> {
    let units = units(root);
    let mut findings = reloading_units(&units);
    findings.extend(jobs(root));
    findings.extend(service(config, &units, &Who::at(root)));
    findings
}

fn reloading_units(all: &[Unit]) -> Vec<Finding> {
    let check = Check::ReloadUnits;
    let mut findings = Vec::new();
    for unit in all {
        let triggers: Vec<_> = unit.triggers(all).iter().map(|of| of.name.as_str()).collect();
        for setting in unit.reloads() {
            let place = format!("{}:{}", setting.file.display(), setting.line);
            let by =
                if triggers.is_empty() { String::new() } else { format!(", set off by {}", triggers.join(" and ")) };
            let message = format!("{} reloads HAProxy{by}: {}={}", unit.name, setting.key, setting.value);
            let stop = triggers.first().copied().unwrap_or(&unit.name);
            let cure = format!(
                "if it is there for certificates, take the line out (`systemctl edit --full {}`), or stop it: systemctl disable --now {stop}",
                unit.name
            );
            findings.push(Finding::look(check, place, message, RELOADS, cure));
        }
    }
    if findings.is_empty() && !all.is_empty() {
        findings.push(Finding::good(check, count(all.len(), "unit"), "none of them reloads HAProxy"));
    }
    findings
}

fn jobs(root: &Path) -> Vec<Finding> {
    let check = Check::RenewalJobs;
    let jobs = renewal_jobs(root);
    if jobs.is_empty() {
        return vec![Finding::good(check, "cron and hooks", "none of them reloads HAProxy")];
    }
    let told = jobs.into_iter().map(|job| {
        let place = format!("{}:{}", job.file.display(), job.line);
        let (who, cure) = match job.owner {
            JobOwner::Cron => (
                "cron",
                "if it is there for certificates, take the reload out; hotcert loads what it finds (`[[watch]]`), or what it is told: `hotcert push FILE`",
            ),
            JobOwner::Certbot => (
                "certbot",
                "take the line, or the hook, out: with [[watch]] dir = \"/etc/letsencrypt/live\" hotcert loads what certbot writes; `hotcert import certbot /etc/letsencrypt` takes the renewals over",
            ),
            JobOwner::AcmeSh => (
                "acme.sh",
                "acme.sh --install-cert -d NAME --reloadcmd true   (with a [[watch]] on its directory hotcert loads what it writes; `hotcert import acme.sh` takes the renewals over)",
            ),
            JobOwner::Dehydrated => (
                "dehydrated",
                "take the reload out of the hook: with [[watch]] dir = \"/var/lib/dehydrated/certs\" hotcert loads what it writes; `hotcert import dehydrated` takes the renewals over",
            ),
        };
        Finding::look(check, place, format!("{who} reloads HAProxy: {}", job.command), RELOADS, cure)
    });
    told.collect()
}

/// As whom the service runs, and whether that user may do its work.
fn service(config: &Config, units: &[Unit], who: &Who) -> Vec<Finding> {
    let check = Check::Service;
    let own = OWN.iter().filter_map(|name| units.iter().find(|unit| unit.name == *name));
    // All of them are installed, and one is in use: those that differ from each other are told apart by their users alone.
    let mut told = BTreeSet::new();
    let mut findings = Vec::new();
    for unit in own {
        let last = |key| unit.values("Service", key).last().map(|setting| setting.value.clone());
        let user = last("User").unwrap_or_else(|| "root".to_owned());
        let groups: Vec<String> = ["Group", "SupplementaryGroups"]
            .iter()
            .flat_map(|key| unit.values("Service", key))
            .flat_map(|setting| setting.value.split_whitespace().map(str::to_owned))
            .collect();
        if !told.insert((user.clone(), groups.clone())) {
            continue;
        }
        let subject = &unit.name;
        let Some(person) = who.person(&user, &groups) else {
            let message = format!("it runs as user {user}, who does not exist");
            let cause = "the service cannot start";
            let cure =
                "systemd-sysusers   (the package brings /usr/lib/sysusers.d/hotcert.conf); or name another `User=`";
            findings.push(Finding::broken(check, subject, message, cause, cure));
            continue;
        };
        let stopped: Vec<_> = obstacles(config, &person, who).collect();
        for (what, cause, cure) in &stopped {
            let message = format!("it runs as user {user}, who may not {what}");
            let cure = cure.replace("{user}", &user).replace("{unit}", subject);
            findings.push(Finding::broken(check, subject, message, cause, cure));
        }
        if stopped.is_empty() {
            let message = format!("it runs as user {user}, who may open the sockets and write to the directories");
            findings.push(Finding::good(check, subject, message));
        }
    }
    findings
}

/// What a user may not do: what, why, and what helps.
fn obstacles<'a>(
    config: &'a Config,
    person: &'a Person,
    who: &'a Who,
) -> impl Iterator<Item = (String, String, String)> + 'a {
    let sockets = config.nodes.values().flat_map(|node| [Some(&node.socket), node.master.as_ref()]).flatten();
    let sockets = sockets.filter_map(path_of).map(|path| (path, WRITE, "open"));
    let directories = config.nodes.values().filter_map(|node| node.crt_dir.as_deref());
    let directories = directories.chain([config.state_dir.as_path()]).map(|path| (path, WRITE | SEARCH, "write to"));
    let refused = sockets.chain(directories).filter_map(|(path, wanted, verb)| {
        let what = format!("{verb} {}", path.display());
        if let Some(stop) = person.stopped_at(path) {
            let owner = fs::metadata(stop).map_or_else(|_| "closed".to_owned(), |found| who.owner_of(&found));
            return Some((what, format!("{} is {owner}", stop.display()), format!("chmod o+x {}", stop.display())));
        }
        let found = fs::metadata(path).ok().filter(|found| !person.may(wanted, found))?;
        let group = who.group(std::os::unix::fs::MetadataExt::gid(&found));
        let cure = format!(
            "systemctl edit {{unit}}, with the lines [Service] and SupplementaryGroups={group}; or give it to {{user}}, or to a group of theirs with write permission"
        );
        Some((what, format!("it is {}", who.owner_of(&found)), cure))
    });
    let mut seen = BTreeSet::new();
    refused.filter(move |(what, ..)| seen.insert(what.clone()))
}
