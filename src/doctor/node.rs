//! The sockets of a node: that they exist, may be opened, have the level admin, and answer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::time::timeout;

use super::who::{Person, Who};
use super::{Check, Doctor, Finding, SOCKETS, count};
use crate::config::Node;
use crate::haproxy::{Error, ListKind, OldWorker, Session};
use crate::model::{Address, NodeName, Slot};

/// What a node said of itself.
pub(super) struct Opened {
    /// Its lists, and what each is.
    pub(super) lists: BTreeMap<Slot, ListKind>,
}

/// Looks at the sockets of a node.
pub(super) async fn open(doctor: &Doctor, node: &Node) -> (NodeName, Option<Opened>, Vec<Finding>) {
    let (stats, master) = tokio::join!(timeout(SOCKETS, stats(doctor, node)), timeout(SOCKETS, master(doctor, node)));
    let subject = &node.name;
    let hangs = |check| {
        let message = format!("{} did not answer within {} s", node.socket, SOCKETS.as_secs());
        let cause = "HAProxy hangs, or all connections of `stats maxconn` (10 by default) are taken by other programs";
        let cure =
            "find out who holds connections by `ss -xp`, or raise `stats maxconn`; if HAProxy hangs, its log says more";
        Finding::broken(check, subject, message, cause, cure)
    };
    let (opened, mut findings) = stats.unwrap_or_else(|_| (None, vec![hangs(Check::Socket)]));
    findings.extend(master.unwrap_or_else(|_| vec![hangs(Check::MasterSocket)]));
    (node.name.clone(), opened, findings)
}

async fn stats(doctor: &Doctor, node: &Node) -> (Option<Opened>, Vec<Finding>) {
    let look = async {
        let mut session = Session::open(&*doctor.connect, node.endpoint()).await?;
        let mut lists = BTreeMap::new();
        for list in session.lists().await? {
            let entries = session.entries(&list).await?;
            let kind = match ListKind::of(&list, &entries) {
                ListKind::Unknown if Path::new(list.as_str()).is_dir() => ListKind::Directory,
                kind => kind,
            };
            lists.insert(list, kind);
        }
        Ok((session.info().clone(), lists))
    };
    match look.await {
        Ok((info, lists)) => {
            let message = format!(
                "{} answers with level {}: HAProxy {}, process {}",
                node.socket, info.level, info.version, info.pid
            );
            let mut findings: Vec<_> = open_to_all(node, &doctor.root).into_iter().collect();
            if findings.is_empty() {
                findings.push(Finding::good(Check::Socket, &node.name, message));
            }
            (Some(Opened { lists }), findings)
        }
        Err(error) => (None, vec![refused(node, &error, Check::Socket, &node.socket, &doctor.root)]),
    }
}

async fn master(doctor: &Doctor, node: &Node) -> Vec<Finding> {
    // Where the node is reached through its master, that was looked at already.
    let Some(master) = node.master.as_ref().filter(|master| **master != node.socket) else { return Vec::new() };
    let socket = match master {
        Address::Master(socket) => socket,
        other => other,
    };
    vec![match OldWorker::workers(&*doctor.connect, master).await {
        Ok(workers) => {
            let message = format!("{socket} answers, and has {}", count(workers.len(), "worker"));
            Finding::good(Check::MasterSocket, &node.name, message)
        }
        Err(error) => refused(node, &error, Check::MasterSocket, master, &doctor.root),
    }]
}

fn refused(node: &Node, error: &Error, check: Check, address: &Address, root: &Path) -> Finding {
    let otherwise = match error {
        Error::Level { .. } => "below that level HAProxy neither shows nor changes certificates",
        Error::Tls { .. } => "the TLS handshake failed, so nothing was asked",
        Error::TooOld { .. } => "this branch cannot add certificates at runtime",
        Error::MasterSocket { .. } => "a master passes commands on to workers, and is spoken to otherwise",
        _ => "HAProxy does not run, or this is no address of its runtime API",
    };
    let hint = error.hint().unwrap_or_else(|| "look into HAProxy's log".to_owned());
    match (error, path_of(address)) {
        (Error::NoPermission { .. }, Some(path)) => no_permission(node, check, path, &Who::at(root)),
        _ => Finding::error(check, &node.name, error, otherwise, hint),
    }
}

/// Who may, and which group to join.
fn no_permission(node: &Node, check: Check, path: &Path, who: &Who) -> Finding {
    let me = myself();
    let user = who.user(me.uid);
    let message = format!("user {user} may not open {}", path.display());
    if let Some(stop) = me.stopped_at(path) {
        let owner = fs::metadata(stop).map_or_else(|_| "closed to it".to_owned(), |found| who.owner_of(&found));
        let cause = format!("the directory {} is {owner}", stop.display());
        let cure = format!("chmod o+x {}, or let the user join its group and `chmod g+x` it", stop.display());
        return Finding::broken(check, &node.name, message, cause, cure);
    }
    let Ok(found) = fs::metadata(path) else {
        return Finding::broken(
            check,
            &node.name,
            message,
            "the system refuses it",
            format!("namei -l {}", path.display()),
        );
    };
    let cause = format!("the socket is {}", who.owner_of(&found));
    let cure = if found.mode() & 0o020 != 0 && found.gid() != 0 {
        format!("usermod -aG {} {user}   (and log in anew, or restart the service)", who.group(found.gid()))
    } else {
        format!(
            "write `stats socket {} mode 660 group haproxy level admin` into the global section of HAProxy's configuration, reload it once, \
             and `usermod -aG haproxy {user}`",
            path.display()
        )
    };
    Finding::broken(check, &node.name, message, cause, cure)
}

/// A socket by which everybody on the machine may change certificates.
fn open_to_all(node: &Node, root: &Path) -> Option<Finding> {
    let path = path_of(&node.socket)?;
    let found = fs::metadata(path).ok().filter(|found| found.mode() & 0o002 != 0)?;
    let everybody = Person { uid: u32::MAX, groups: [].into() };
    if everybody.stopped_at(path).is_some() {
        return None;
    }
    let message = format!("every user of this machine may change HAProxy's certificates through {}", path.display());
    let cause = format!("it is {}", Who::at(root).owner_of(&found));
    let cure = "write `mode 660 group haproxy` on its `stats socket` line, and reload HAProxy once";
    Some(Finding::look(Check::Socket, &node.name, message, cause, cure))
}

/// The user that runs this.
pub(super) fn myself() -> Person {
    let groups = rustix::process::getgroups().unwrap_or_default();
    let own = std::iter::once(rustix::process::getegid()).chain(groups).map(rustix::process::Gid::as_raw);
    Person { uid: rustix::process::geteuid().as_raw(), groups: own.collect() }
}

pub(super) fn path_of(address: &Address) -> Option<&Path> {
    match address {
        Address::Unix(path) => Some(path),
        Address::Master(socket) => path_of(socket),
        Address::Tcp(_) | Address::Tls(_) => None,
    }
}
