//! From a `HAProxy` on this machine to the table of a node.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::Serialize;

use super::Advice;
use super::find::{HTTPS, tls_binds};
use crate::haproxy::{Error, Info, Level, Session, SystemConnect};
use crate::host::{Bind, Instance, Listen, Named, version_of};
use crate::model::{Address, Authority, NodeName, chain, printable};

/// Where certificates for `HAProxy` are put where it loads no directory yet.
const PROPOSED_DIRECTORY: &str = "/etc/haproxy/certs";
/// Where its stats socket is put where it has none yet; as distributions have it.
const PROPOSED_SOCKET: &str = "/run/haproxy/admin.sock";
/// Addresses at which a handshake proves what is served: more prove nothing more.
const MAX_VERIFY: usize = 8;
/// Characters of a foreign text.
const SHOWN: usize = 300;
/// The mode of files that a group has to read.
const GROUP_MODE: &str = "0640";

/// The table of a node, and what there is to say about it.
#[derive(Debug, Serialize)]
pub(super) struct Draft {
    pub(super) name: NodeName,
    /// `None` when it is only reached through its master.
    pub(super) socket: Option<Address>,
    pub(super) master: Option<Address>,
    pub(super) crt_dir: PathBuf,
    pub(super) haproxy_crt_dir: Option<String>,
    pub(super) crt_list: Option<String>,
    pub(super) verify: Vec<Authority>,
    pub(super) group: Option<String>,
    pub(super) mode: Option<&'static str>,
    pub(super) haproxy: Facts,
    /// What is unclear, or has to be done.
    pub(super) notes: Vec<Advice>,
}

/// What is known of the `HAProxy` behind it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Facts {
    pub(super) pid: Option<u32>,
    pub(super) version: Option<String>,
    pub(super) level: Option<String>,
    pub(super) files: Vec<String>,
    pub(super) has_master: bool,
}

/// What flags say.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    pub(super) socket: Option<&'a Address>,
    pub(super) crt_dir: Option<&'a Path>,
    pub(super) verify: &'a [Authority],
}

impl Draft {
    /// Makes one of a `HAProxy` that was found, or of what flags say alone.
    pub(super) async fn of(name: NodeName, instance: Option<&Instance>, given: &Given<'_>) -> Self {
        let mut draft = Self {
            name,
            socket: None,
            master: None,
            crt_dir: given.crt_dir.unwrap_or(Path::new(PROPOSED_DIRECTORY)).to_owned(),
            haproxy_crt_dir: None,
            crt_list: None,
            verify: given.verify.to_vec(),
            group: None,
            mode: None,
            haproxy: Facts::default(),
            notes: Vec::new(),
        };
        if let Some(instance) = instance {
            draft.tell(instance);
        }
        draft.sockets(instance, given.socket).await;
        let Some(instance) = instance else {
            draft.advise("HAProxy was not found on this machine: it may be another user's, in a container, or on another machine",
                "look through the table of this node: crt_dir is where HAProxy loads certificates from");
            return draft;
        };
        if draft.haproxy.version.is_none() && instance.is_trusted() {
            let program = instance.main().and_then(|process| process.program.clone());
            draft.haproxy.version = version_of(&program.unwrap_or_else(|| PathBuf::from("/usr/sbin/haproxy"))).await;
        }
        draft.certificates(instance, given);
        draft.access(instance);
        draft
    }

    /// The directory of certificates as `HAProxy` names it.
    pub(super) fn directory(&self) -> String {
        self.haproxy_crt_dir.clone().unwrap_or_else(|| self.crt_dir.display().to_string())
    }

    fn advise(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.notes.push(Advice::new(what, cure));
    }

    fn tell(&mut self, instance: &Instance) {
        self.haproxy.files = instance.configuration.shown_files();
        self.haproxy.pid = instance.main().map(|process| process.pid);
        self.haproxy.has_master = instance.has_master;
        if instance.processes.is_empty() {
            self.advise("no HAProxy runs on this machine", "start it before `hotcert issue`");
        }
        let told = instance.configuration.problems.iter();
        self.notes.extend(told.map(|problem| Advice { what: problem.to_string(), cure: problem.hint() }));
    }

    /// Chooses the sockets: the first stats socket of level admin that answers, and the master's.
    async fn sockets(&mut self, instance: Option<&Instance>, given: Option<&Address>) {
        if let Some(address) = given {
            let answer = ask(address).await;
            match &answer {
                Ok(info) => {
                    self.know(info);
                    self.notes.extend((info.level != Level::Admin).then(|| weak(address, info.level)));
                }
                Err(error) => self.blame(error),
            }
            match address {
                Address::Master(_) => self.master = Some(address.clone()),
                address => self.socket = Some(address.clone()),
            }
            let is_admin = answer.is_ok_and(|info| info.level == Level::Admin);
            if is_admin && self.master.is_none() {
                self.take_master(instance).await;
            }
            return;
        }
        let Some(instance) = instance else { return };
        let mut second = None;
        let mut blamed = Vec::new();
        for stats in instance.configuration.global().stats_sockets {
            let Some(address) = instance.address(&stats.listen) else {
                blamed.push(Advice::new(
                    format!("the stats socket {} ({}) cannot be reached from here", stats.listen, stats.place),
                    "share its directory with hotcert, or use an address of 127.0.0.1",
                ));
                continue;
            };
            match ask(&address).await {
                Ok(info) if info.level == Level::Admin => {
                    self.know(&info);
                    self.socket = Some(address);
                    break;
                }
                Ok(info) => blamed.push(weak(&address, info.level)),
                Err(error) => blamed.push(Advice { what: chain(&error), cure: error.hint() }),
            }
            second.get_or_insert(address);
        }
        self.take_master(Some(instance)).await;
        if self.socket.is_some() {
            return;
        }
        self.notes.extend(blamed);
        if self.master.is_some() {
            return;
        }
        if second.is_none() {
            self.advise(
                format!("no stats socket of HAProxy can be reached, so {PROPOSED_SOCKET} is written down"),
                "`hotcert config haproxy` prints the line that opens it",
            );
        }
        self.socket = Some(second.unwrap_or_else(|| Address::Unix(PROPOSED_SOCKET.into())));
    }

    async fn take_master(&mut self, instance: Option<&Instance>) {
        let Some(instance) = instance else { return };
        let Some(socket) = instance.master_socket().and_then(|socket| instance.address(&socket)) else { return };
        let master = Address::Master(Box::new(socket));
        match ask(&master).await {
            Ok(info) if info.level == Level::Admin => {
                self.know(&info);
                self.master = Some(master);
            }
            Ok(info) => self.advise(
                format!("the master's socket has level {}, and is not used", info.level),
                "take `level` off the address behind -S",
            ),
            Err(error) => self.blame(&error),
        }
    }

    fn know(&mut self, info: &Info) {
        self.haproxy.version = Some(info.version.to_string());
        self.haproxy.level = Some(info.level.to_string());
    }

    fn blame(&mut self, error: &Error) {
        self.notes.push(Advice { what: chain(error), cure: error.hint() });
    }

    /// Chooses where certificates go: what the first `bind` line loads, one on port 443 before others.
    fn certificates(&mut self, instance: &Instance, given: &Given<'_>) {
        let view = instance.view();
        let binds = tls_binds(&instance.configuration);
        let directory_of = |bind: &Bind<'_>| bind.certificates.iter().find(|named| named.is_directory(&view)).cloned();
        let wanted = |named: &Named| {
            given
                .crt_dir
                .is_none_or(|dir| named.path.as_deref().and_then(|path| view.lasting(path)).as_deref() == Some(dir))
        };
        let directory = binds.iter().filter_map(directory_of).find(wanted);
        let list = binds.iter().find(|bind| !bind.crt_lists.is_empty()).map(|bind| bind.crt_lists[0].clone());
        let chosen = directory.as_ref().or(list.as_ref());
        if let Some(directory) = &directory {
            self.put(directory, instance);
        } else if let Some(list) = &list {
            self.crt_list = Some(list.name.clone());
            let listed = instance.configuration.listed(list, &view);
            let beside = listed.iter().filter_map(|named| Some((named, named.path.as_deref()?.parent()?)));
            let beside =
                beside.map(|(_, parent)| parent).find(|parent| view.here(parent).is_ok_and(|here| here.is_dir()));
            if given.crt_dir.is_none()
                && let Some(parent) = beside
            {
                let name = parent.display().to_string();
                self.put(&Named { name, path: Some(parent.to_owned()) }, instance);
            }
        }
        let others: Vec<String> = instance
            .configuration
            .certificates(&view)
            .directories
            .into_iter()
            .filter(|other| Some(other) != directory.as_ref())
            .map(|other| printable(&other.name, SHOWN))
            .collect();
        if directory.is_some() && !others.is_empty() {
            self.advise(
                format!("HAProxy loads certificates from {} too", others.join(", ")),
                "set crt_dir to the directory that new ones shall go to",
            );
        }
        let Some(chosen) = chosen else {
            self.advise(
                format!(
                    "no bind line of HAProxy loads a directory of certificates or a crt-list, so {} is written down",
                    self.crt_dir.display()
                ),
                "`hotcert config haproxy` prints the line that does",
            );
            // Where that line will serve it.
            let new = Listen::Ip { address: Ipv4Addr::UNSPECIFIED.into(), first: HTTPS, last: HTTPS, is_tcp: true };
            self.verify_at(match binds.first() {
                Some(bind) => handshakes(bind, instance),
                None => instance.authority(&new).into_iter().collect(),
            });
            return;
        };
        let serves = |bind: &&Bind<'_>| bind.certificates.contains(chosen) || bind.crt_lists.contains(chosen);
        self.verify_at(binds.iter().filter(serves).flat_map(|bind| handshakes(bind, instance)).collect());
        if self.verify.is_empty() {
            self.advise(
                "none of the addresses at which HAProxy serves these certificates can be reached from here",
                "set verify to where a client would connect, so that what is served is proved by a handshake",
            );
        }
    }

    /// Proves what is served at these addresses, unless flags say where; whether anybody listens there already does not matter.
    fn verify_at(&mut self, addresses: Vec<Authority>) {
        if self.verify.is_empty() {
            let mut seen = BTreeSet::new();
            self.verify = addresses.into_iter().filter(|address| seen.insert(address.to_string())).collect();
            self.verify.truncate(MAX_VERIFY);
        }
    }

    fn put(&mut self, named: &Named, instance: &Instance) {
        let theirs = named.name.trim_end_matches('/');
        let Some(path) = &named.path else { return };
        let Some(here) = instance.view().lasting(path) else {
            self.haproxy_crt_dir = Some(theirs.to_owned());
            self.advise(
                format!("{} is inside of HAProxy's container, and cannot be reached from here", path.display()),
                "mount a directory of this machine there, and set crt_dir to it",
            );
            return;
        };
        let ours: PathBuf = here.components().collect();
        self.haproxy_crt_dir = Some(theirs.to_owned()).filter(|theirs| Path::new(theirs) != ours);
        self.crt_dir = ours;
    }

    /// Sees to it that `HAProxy` can read what is written, and that we can write it.
    fn access(&mut self, instance: &Instance) {
        if let Some(main) = instance.main() {
            let starts_as_root = main.uid == 0 || instance.configuration.global().user.is_some();
            if !starts_as_root && main.uid != rustix::process::geteuid().as_raw() {
                self.group = Some(main.gid.to_string());
                self.mode = Some(GROUP_MODE);
            }
        }
        if self.crt_dir.is_dir() && rustix::fs::access(&self.crt_dir, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            self.advise(
                format!("this user may not write to {}", self.crt_dir.display()),
                "run hotcert as root, or as the directory's owner",
            );
        }
    }
}

/// Where a handshake shows what a `bind` line serves.
fn handshakes(bind: &Bind<'_>, instance: &Instance) -> Vec<Authority> {
    let words = &bind.line.words;
    let asks_for_more = bind.line.after("verify") == Some("required");
    let is_elsewhere = words.iter().any(|word| word == "interface" || word == "namespace");
    if bind.accepts_proxy || asks_for_more || is_elsewhere || !bind.line.is_certain {
        return Vec::new();
    }
    bind.listen.iter().filter_map(|listen| instance.authority(listen)).collect()
}

async fn ask(address: &Address) -> Result<Info, Error> {
    Session::open(&SystemConnect, address).await.map(|session| session.info().clone())
}

fn weak(address: &Address, level: Level) -> Advice {
    Advice::new(
        format!("the stats socket {address} has level {level}, which may change no certificate"),
        "put `level admin` on its line in HAProxy's configuration, and reload it",
    )
}
