//! Running processes, from `/proc` (`proc(5)`).
//!
//! What this user may not see of a process of somebody else is `None`, and never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::arguments::Arguments;
use super::view::{View, read};
use super::words::Variables;

/// Processes that are looked at; more is a machine gone wild.
const MAX_PROCESSES: usize = 100_000;
/// Bytes of a command line, and of an environment, that are read; Linux hands over a quarter of a stack, mostly 2 MiB.
const MAX_WORDS: usize = 2 * 1024 * 1024;
/// Bytes of the small files in `/proc`.
const MAX_SMALL: usize = 64 * 1024;
/// Ticks of a second in `/proc` (`USER_HZ`), which every architecture that we build for has.
const TICKS: i64 = 100;

/// One process of a `HAProxy`.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number, as we see it.
    pub pid: u32,
    /// The process that started it.
    pub parent: u32,
    /// When it started; `None` when that cannot be told.
    pub started_at: Option<Timestamp>,
    /// As whom it runs (effective user).
    pub uid: u32,
    /// In which group (effective group).
    pub gid: u32,
    /// Its command line.
    pub arguments: Arguments,
    /// Its program; hidden from other users.
    pub program: Option<PathBuf>,
    /// The directory it is in, as it names it; hidden from other users.
    pub directory: Option<PathBuf>,
    /// How its files are reached.
    pub view: View,
    /// Whether it is in another network than we are, so that its addresses are not ours; hidden from other users.
    pub has_own_network: Option<bool>,
    /// Ticks since the machine's start.
    ticks: u64,
}

impl Process {
    /// The environment that it was started with.
    pub(super) fn variables(&self) -> Variables {
        let Ok(bytes) = read(&place(self.pid, "environ"), MAX_WORDS) else { return Variables::default() };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        let values: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Variables { values, are_known: true }
    }

    /// Whether both were started in the same way by the same user, as when one takes over from the other (`-sf`).
    pub(super) fn is_twin(&self, other: &Self) -> bool {
        let (own, others) = (&self.arguments, &other.arguments);
        own.files == others.files
            && own.directory == others.directory
            && self.directory == other.directory
            && self.uid == other.uid
            && self.view.through.is_none()
            && other.view.through.is_none()
    }

    fn look(pid: u32, boot: Option<i64>) -> Option<Self> {
        let words = read(&place(pid, "cmdline"), MAX_WORDS).ok()?;
        let words = String::from_utf8_lossy(&words);
        let words: Vec<String> = words.strip_suffix('\0').unwrap_or(&words).split('\0').map(str::to_owned).collect();
        let arguments = Arguments::parse(&words).filter(|arguments| !arguments.only_looks)?;
        let stat = small(&place(pid, "stat")).ok()?;
        // The name before it may hold anything, also parentheses.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // A process that has ended and whom nobody has asked for.
        if fields.first() == Some(&"Z") {
            return None;
        }
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        let started = boot.zip(i64::try_from(ticks).ok()).map(|(boot, ticks)| boot + ticks / TICKS);
        let status = small(&place(pid, "status")).ok()?;
        let link = |name: &str| fs::read_link(place(pid, name)).ok();
        let is_other = |name: &str| Some(link(name)? != fs::read_link(Path::new("/proc/self").join(name)).ok()?);
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            started_at: started.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            uid: effective(&status, "Uid:")?,
            gid: effective(&status, "Gid:")?,
            arguments,
            program: link("exe"),
            directory: link("cwd"),
            view: View { through: is_other("ns/mnt").filter(|other| *other).map(|_| pid) },
            has_own_network: is_other("ns/net"),
            ticks,
        })
    }
}

/// All running processes of `HAProxy`, the oldest first.
pub(super) fn all() -> io::Result<Vec<Process>> {
    let boot = small(Path::new("/proc/stat")).ok().and_then(|stat| {
        stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|seconds| seconds.trim().parse().ok())
    });
    let mut out = Vec::new();
    for entry in fs::read_dir("/proc")?.take(MAX_PROCESSES) {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile is gone.
        out.extend(Process::look(pid, boot));
    }
    out.sort_by_key(|process| (process.ticks, process.pid));
    Ok(out)
}

fn place(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn small(path: &Path) -> io::Result<String> {
    read(path, MAX_SMALL).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The second of the four numbers of a line.
fn effective(status: &str, name: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().nth(1)?.parse().ok()
}
