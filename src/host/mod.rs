//! What is on this machine: running `HAProxy`s and their configurations; service units, and jobs that renew certificates.
//!
//! Owns finding out, by looking alone: nothing here writes, no program is run but `haproxy -v` ([`version_of`]), and that only if
//! nobody but root and ourselves could have put it there. It knows neither what hotcert is told to do nor what it has stored.
//!
//! [`Host::look`] gives an [`Instance`] for each `HAProxy`: its [processes](Process), and its [`Configuration`], which is the sections
//! and lines of all its files in order. What is asked of those is computed from them: [`Configuration::global`] (sockets, levels,
//! `chroot`, `crt-base`), [`Configuration::binds`] (addresses, certificates, crt-lists), [`Configuration::roads`] and
//! [`Configuration::redirects`] (how challenges go), [`Configuration::certificates`] (directories, lists and stores).
//!
//! Invariants:
//! - Paths in a configuration are those that `HAProxy` has. [`Instance::view`] tells where they are for us.
//! - What this user may not see is a [`Problem`] with a cure, or `None`; it is never taken for absent.
//! - Files, lines, words, processes and links are bounded; any bytes are survived.
//! - Somebody else's process may say anything. [`Instance::is_trusted`] tells whether a socket or a directory that it names may be used
//!   without asking.
//!
//! All calls block, but [`version_of`]: they read small files.

mod address;
mod arguments;
mod bind;
mod certificates;
mod challenges;
mod condition;
mod configuration;
mod cron;
mod error;
mod global;
mod mounts;
mod process;
mod program;
mod reach;
mod reloads;
mod renewal_jobs;
mod source;
mod text;
mod trust;
mod units;
mod view;
mod words;

pub use address::Listen;
pub use arguments::Arguments;
pub use bind::{Bind, Named};
pub use certificates::{Certificates, StoreEntry};
pub use challenges::{Answerer, HTTP, Road};
pub use configuration::{Configuration, Line, Place, Section};
pub use cron::{CronJob, cron_jobs};
pub use error::Problem;
pub use global::{Global, Level, StatsSocket};
pub use process::Process;
pub use program::version_of;
pub use renewal_jobs::{JobOwner, RenewalJob, renewal_jobs};
pub use units::{Setting, Unit, units};
pub use view::View;

use std::path::{Path, PathBuf};

use source::Reading;
use words::Variables;

/// Where distributions, and the image of `HAProxy`'s makers, have its configuration.
const USUAL_FILES: [&str; 3] = ["/etc/haproxy/haproxy.cfg", "/usr/local/etc/haproxy/haproxy.cfg", "/etc/haproxy.cfg"];
/// Old processes of one `HAProxy` after many reloads; further ones say nothing new.
const MAX_PROCESSES: usize = 1000;

/// Everything of `HAProxy` on this machine.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Each `HAProxy`, the one that runs for longest first; when none runs, the one that is configured at a usual place.
    pub instances: Vec<Instance>,
}

/// One `HAProxy`: a master with its workers, or a process of its own.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The processes: the master, or the newest process where there is none, then the others, the newest first. Empty when it does not
    /// run.
    pub processes: Vec<Process>,
    /// Whether the first process is a master.
    pub has_master: bool,
    /// What its files say.
    pub configuration: Configuration,
}

impl Host {
    /// Looks at all processes; and, when no `HAProxy` runs, at the usual places.
    #[must_use]
    pub fn look() -> Self {
        let mut instances: Vec<Instance> = group(process::all().unwrap_or_default()).map(Instance::look).collect();
        if instances.is_empty() {
            let usual = USUAL_FILES.iter().map(Path::new).find(|file| file.exists());
            instances.extend(usual.map(|file| Instance::at(&[file.to_owned()])));
        }
        Self { instances }
    }
}

impl Instance {
    /// The `HAProxy` that these files configure, whether it runs or not.
    #[must_use]
    pub fn at(files: &[PathBuf]) -> Self {
        let base = std::env::current_dir().ok();
        let reading = Reading {
            view: &View::default(),
            base: base.as_deref(),
            variables: Variables::default(),
            pid: std::process::id(),
        };
        Self { processes: Vec::new(), has_master: false, configuration: source::configuration(files, reading) }
    }

    /// The process that read the configuration: the master, or the only one.
    #[must_use]
    pub fn main(&self) -> Option<&Process> {
        self.processes.first()
    }

    /// How its files are reached.
    #[must_use]
    pub fn view(&self) -> View {
        self.main().map(|process| process.view.clone()).unwrap_or_default()
    }

    /// The socket of its master, as an address of the configuration's kind.
    #[must_use]
    pub fn master_socket(&self) -> Option<Listen> {
        let main = self.main()?;
        // Options follow behind commas: `path,level,operator`.
        let address = main.arguments.master_socket.as_deref()?.split(',').next()?;
        Some(match Listen::parse(address) {
            Listen::Unix(path) => {
                let whole = configuration::absolute(base(main).as_deref(), &path);
                Listen::Unix(whole.unwrap_or(path))
            }
            other => other,
        })
    }

    /// Reads the configuration of processes that belong together.
    fn look((processes, has_master): (Vec<Process>, bool)) -> Self {
        let Some(main) = processes.first() else {
            return Self { processes, has_master, configuration: Configuration::default() };
        };
        let base = base(main);
        let reading = Reading { view: &main.view, base: base.as_deref(), variables: main.variables(), pid: main.pid };
        let mut configuration = source::configuration(&main.arguments.files, reading);
        if main.arguments.files.is_empty() {
            configuration.problem(Problem::NoFile { pid: main.pid });
        }
        Self { processes, has_master, configuration }
    }
}

/// Where relative names of a process began. One that has gone into its `chroot` is not any more where it was when it read.
fn base(process: &Process) -> Option<PathBuf> {
    configuration::absolute(
        process.directory.as_deref(),
        process.arguments.directory.as_deref().unwrap_or(Path::new("")),
    )
}

/// Puts the processes together that are one `HAProxy`: a master and its workers; or processes with the same command line, of which one
/// takes over from the other (`-sf`).
fn group(processes: Vec<Process>) -> impl Iterator<Item = (Vec<Process>, bool)> {
    let mut groups: Vec<(Vec<Process>, bool)> = Vec::new();
    let mut workers = Vec::new();
    let pids: std::collections::BTreeSet<u32> = processes.iter().map(|process| process.pid).collect();
    for process in processes {
        if pids.contains(&process.parent) {
            workers.push(process);
            continue;
        }
        let is_master = process.arguments.is_master_worker;
        let twin =
            groups.iter_mut().find(|(group, has_master)| !is_master && !has_master && group[0].is_twin(&process));
        match twin {
            // The newest first.
            Some((group, _)) if group.len() < MAX_PROCESSES => group.insert(0, process),
            Some(_) => {}
            None => groups.push((vec![process], is_master)),
        }
    }
    for worker in workers {
        let master = groups.iter_mut().find(|(group, _)| group.iter().any(|process| process.pid == worker.parent));
        if let Some((group, has_master)) = master.filter(|(group, _)| group.len() < MAX_PROCESSES) {
            *has_master = true;
            group.insert(1, worker);
        }
    }
    groups.into_iter()
}
