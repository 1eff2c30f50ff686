//! What the `global` sections say.

use std::path::PathBuf;

use super::address::Listen;
use super::configuration::{Configuration, Line, Place};

/// The settings of the process, of all `global` sections.
#[derive(Debug, Clone, Default)]
pub struct Global {
    /// The stats sockets, in order.
    pub stats_sockets: Vec<StatsSocket>,
    /// Whether there are a master and workers (`master-worker`).
    pub is_master_worker: bool,
    /// Where the process goes for good once it has read everything.
    pub chroot: Option<PathBuf>,
    /// As whom it serves (`user`, `uid`).
    pub user: Option<String>,
    /// In which group (`group`, `gid`).
    pub group: Option<String>,
    /// What comes before relative names of certificates (`crt-base`).
    pub crt_base: Option<String>,
    /// What comes before relative names of CA files (`ca-base`).
    pub ca_base: Option<String>,
    /// What comes before the paths of Unix sockets on `bind` lines, but not of stats sockets (`unix-bind prefix`).
    pub unix_bind_prefix: Option<String>,
    /// How it calls itself (`node`).
    pub node: Option<String>,
    /// The size of a buffer in bytes, where it is set (`tune.bufsize`).
    pub buffer_size: Option<usize>,
    /// The last line of the first `global` section, after which another can be added.
    pub end: Option<Place>,
}

/// A line `stats socket` (configuration manual, section 3.1).
#[derive(Debug, Clone)]
pub struct StatsSocket {
    /// Where it stands.
    pub place: Place,
    /// Whether the line surely reads so.
    pub is_certain: bool,
    /// The address; a relative path is made absolute where that can be done.
    pub listen: Listen,
    /// The level; `HAProxy`'s own default is `operator`.
    pub level: Level,
    /// The mode of the socket's file.
    pub mode: Option<String>,
    /// The owner of the socket's file (`user`, `uid`).
    pub user: Option<String>,
    /// The group of the socket's file (`group`, `gid`).
    pub group: Option<String>,
    /// Whether listening sockets are handed over through it (`expose-fd listeners`).
    pub exposes_listeners: bool,
}

/// What may be asked through a stats socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Statistics only.
    User,
    /// All that reads.
    Operator,
    /// Everything.
    Admin,
}

impl Configuration {
    /// Reads the `global` sections.
    #[must_use]
    pub fn global(&self) -> Global {
        let mut out = Global::default();
        for section in self.of(&["global"]) {
            out.end.get_or_insert_with(|| section.end().clone());
            for line in &section.lines {
                out.take(line);
            }
        }
        out
    }
}

impl Global {
    fn take(&mut self, line: &Line) {
        let value = || line.words.get(1).cloned();
        match line.keyword() {
            "stats" if line.begins(&["stats", "socket"]) => self.stats_sockets.extend(StatsSocket::read(line)),
            "master-worker" => self.is_master_worker = true,
            "chroot" => self.chroot = value().and_then(|path| line.path(&path)),
            "user" | "uid" => self.user = value(),
            "group" | "gid" => self.group = value(),
            // The first one counts, HAProxy warns of a second.
            "crt-base" if self.crt_base.is_none() => self.crt_base = value(),
            "ca-base" if self.ca_base.is_none() => self.ca_base = value(),
            "unix-bind" => self.unix_bind_prefix = line.after("prefix").map(str::to_owned),
            "node" => self.node = value(),
            "tune.bufsize" => self.buffer_size = value().and_then(|size| size.parse().ok()),
            _ => {}
        }
    }
}

impl StatsSocket {
    fn read(line: &Line) -> Option<Self> {
        let listen = match Listen::parse(line.words.get(2)?) {
            Listen::Unix(path) => {
                let absolute = line.path(&path.to_string_lossy());
                Listen::Unix(absolute.unwrap_or(path))
            }
            other => other,
        };
        let value = |word| line.after(word).map(str::to_owned);
        Some(Self {
            place: line.place.clone(),
            is_certain: line.is_certain,
            listen,
            level: match line.after("level") {
                Some("admin") => Level::Admin,
                Some("user") => Level::User,
                _ => Level::Operator,
            },
            mode: value("mode"),
            user: value("user").or_else(|| value("uid")),
            group: value("group").or_else(|| value("gid")),
            exposes_listeners: line.after("expose-fd") == Some("listeners"),
        })
    }
}
