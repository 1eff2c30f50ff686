//! A HAProxy of a sequence, real or in memory, and the other programs that use it too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use hotcert::haproxy::{Connect, SystemConnect};

use super::pool::{Item, Pool};
use crate::support::client::{Options, handshake};
use crate::support::model::{BindLine, Fake, Layout, Profile, Source};
use crate::support::{Haproxy, HaproxyVersion};

/// The slot that is not ours.
pub const FOREIGN: &str = "f.pem";

/// One node.
#[derive(Debug)]
pub struct Server {
    pub version: HaproxyVersion,
    pub directory: PathBuf,
    /// Where slots are attached: the directory itself, or a crt-list.
    pub list: PathBuf,
    kind: Kind,
    others: Mutex<Others>,
}

#[derive(Debug)]
enum Kind {
    Fake(Fake),
    Real(Box<Mutex<Haproxy>>),
}

/// What other programs did.
#[derive(Debug, Default)]
pub struct Others {
    /// The slot and the serial number of the transaction that they think is open, and the process.
    pub open: Option<(String, String, u32)>,
    /// Slots into which they put something, perhaps; and what.
    pub put: Vec<(String, String)>,
    /// Whether names may have been lost: by a restart, a reload, or by what they deleted.
    pub disturbed: bool,
    /// Files that were taken away. Whoever starts HAProxy puts back what it cannot do without.
    pub removed: Vec<(PathBuf, Vec<u8>)>,
}

/// What another program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// Opens a transaction, without a look whether one is open.
    Set(String, String),
    /// Commits what it has opened, if that is still what it was.
    Commit,
    /// Aborts what it has opened.
    Abort,
    /// Replaces a slot, when no transaction is open.
    Replace(String, String),
    /// Takes a slot out of its list, and deletes it.
    Delete(String),
}

impl Server {
    /// Starts one with these certificates in its directory, attached by the directory or by a crt-list.
    pub fn start(
        version: HaproxyVersion,
        real: bool,
        by_list: bool,
        certificates: &[(String, &Item)],
        scratch: &Path,
        pid: u32,
    ) -> Self {
        let others = Mutex::default();
        if real {
            let mut builder = Haproxy::new(version);
            let lines: String = certificates.iter().map(|(name, _)| format!("{{dir}}/certs/{name}\n")).collect();
            for (name, item) in certificates {
                builder = builder.certificate(name, &item.pem);
            }
            let haproxy = if by_list { builder.crt_list(&lines) } else { builder }.start();
            let directory = haproxy.crt_dir();
            let list = if by_list { haproxy.crt_list() } else { directory.clone() };
            return Self { version, directory, list, kind: Kind::Real(Box::new(Mutex::new(haproxy))), others };
        }
        let directory = scratch.join("certs");
        fs::create_dir_all(&directory).unwrap();
        let mut lines = String::new();
        for (name, item) in certificates {
            let path = directory.join(name);
            fs::write(&path, &item.pem).unwrap();
            lines += &format!("{}\n", path.display());
        }
        let (list, source) = if by_list {
            let list = scratch.join("crt-list.txt");
            fs::write(&list, lines).unwrap();
            (list.clone(), Source::List(list))
        } else {
            (directory.clone(), Source::Directory(directory.clone()))
        };
        let bind = BindLine { name: "https/haproxy.cfg:1".to_owned(), strict: true, sources: vec![source] };
        let layout = Layout { bufsize: 16384, level: "admin".to_owned(), binds: vec![bind], maps: Vec::new() };
        let fake = Fake::start(Profile::from(version), layout, pid).unwrap();
        Self { version, directory, list, kind: Kind::Fake(fake), others }
    }

    /// Where its runtime API is.
    pub fn socket(&self) -> PathBuf {
        match &self.kind {
            Kind::Fake(_) => self.directory.with_file_name("stats.sock"),
            Kind::Real(haproxy) => haproxy.lock().unwrap().socket(),
        }
    }

    /// Where clients come in.
    pub fn https(&self) -> Option<String> {
        match &self.kind {
            Kind::Fake(_) => None,
            Kind::Real(haproxy) => Some(haproxy.lock().unwrap().https_addr().to_string()),
        }
    }

    /// How it is connected to.
    pub fn connect(&self) -> &dyn Connect {
        match &self.kind {
            Kind::Fake(fake) => fake,
            Kind::Real(_) => &SystemConnect,
        }
    }

    /// The slot of a file name.
    pub fn slot(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    /// What other programs did.
    pub fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap()
    }

    pub fn cli(&self, command: &str) -> String {
        match &self.kind {
            Kind::Fake(fake) => fake.cli(command),
            Kind::Real(haproxy) => haproxy.lock().unwrap().cli(command),
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Fake(fake) => fake.look(|_| ()).is_some(),
            Kind::Real(haproxy) => haproxy.lock().unwrap().is_alive(),
        }
    }

    /// Whether nothing that was sent to it could have harmed it.
    pub fn is_unharmed(&self) -> bool {
        match &self.kind {
            Kind::Fake(fake) => fake.is_unharmed(),
            Kind::Real(_) => true,
        }
    }

    pub fn pid(&self) -> u32 {
        let info = self.cli("show info");
        info.lines().find_map(|line| line.strip_prefix("Pid: ")).unwrap().parse().unwrap()
    }

    /// Refuses so many commands, where it can be made to.
    pub fn lock_for(&self, commands: usize) {
        if let Kind::Fake(fake) = &self.kind {
            fake.lock_for(commands);
        }
    }

    pub fn kill(&self) {
        self.others().disturbed = true;
        match &self.kind {
            Kind::Fake(fake) => fake.kill(),
            Kind::Real(haproxy) => haproxy.lock().unwrap().kill(),
        }
    }

    /// Kills it, and starts it anew.
    pub fn restart(&self) {
        self.others().disturbed = true;
        let restart = || match &self.kind {
            Kind::Fake(fake) => fake.restart(),
            Kind::Real(haproxy) => haproxy.lock().unwrap().try_restart(),
        };
        self.with_files(restart);
    }

    /// Lets another process take over.
    pub fn reload(&self) {
        self.others().disturbed = true;
        let reload = || match &self.kind {
            Kind::Fake(fake) => fake.reload(),
            Kind::Real(haproxy) => haproxy.lock().unwrap().try_reload(),
        };
        self.with_files(reload);
    }

    /// A crt-list may name a file that was taken away: then it is put back first.
    fn with_files(&self, start: impl Fn() -> Result<(), String>) {
        let removed = std::mem::take(&mut self.others().removed);
        if self.list != self.directory {
            for (path, content) in removed.into_iter().filter(|(path, _)| !path.exists()) {
                fs::write(path, content).unwrap();
            }
        }
        start().unwrap();
    }

    /// Takes a file away.
    pub fn remove(&self, file: &str) {
        let path = self.directory.join(file);
        if let Ok(content) = fs::read(&path) {
            fs::remove_file(&path).unwrap();
            self.others().removed.push((path, content));
        }
    }

    /// The serial number that clients are shown.
    pub fn shown(&self, name: &str) -> Option<String> {
        match &self.kind {
            Kind::Fake(fake) => fake.shown(name).map(|leaf| leaf.serial.clone()),
            Kind::Real(haproxy) => {
                let address = haproxy.lock().unwrap().https_addr();
                handshake(address, name, Options::default()).ok().map(|served| served.serial)
            }
        }
    }

    /// The serial number that a slot holds; `*` before it means the transaction.
    pub fn held(&self, slot: &str) -> Option<String> {
        if let Kind::Fake(fake) = &self.kind {
            let content = fake.look(|process| match (slot.strip_prefix('*'), &process.transaction) {
                (None, _) => process.slots.get(slot).cloned(),
                (Some(slot), Some((open, content))) if open == slot => Some(content.clone()),
                _ => None,
            })?;
            return content?.leaf.map(|leaf| leaf.serial.clone());
        }
        let text = self.cli(&format!("show ssl cert {slot}"));
        text.lines().find_map(|line| line.strip_prefix("Serial: ")).map(str::to_lowercase)
    }

    /// The slot of the open transaction.
    pub fn open(&self) -> Option<String> {
        self.cli("show ssl cert").lines().find_map(|line| line.strip_prefix('*')).map(str::to_owned)
    }

    /// Does what another program would do.
    pub fn act(&self, other: &Other) {
        let pid = self.pid();
        match other {
            Other::Set(file, serial) => {
                let reply = self.set(&self.slot(file), Pool::get().item(serial));
                if let Some(slot) = about(&reply, "created") {
                    self.others().open = Some((slot, serial.clone(), pid));
                } else if let Some(slot) = about(&reply, "updated") {
                    // Whoever owns it may commit it before knowing, and lose names by it.
                    let mut others = self.others();
                    others.disturbed = true;
                    others.put.push((slot.clone(), serial.clone()));
                    others.open = Some((slot, serial.clone(), pid));
                }
            }
            Other::Commit => {
                let open = self.others().open.take();
                if let Some((slot, serial, owner)) = open
                    && owner == pid
                    && self.held(&format!("*{slot}")).as_ref() == Some(&serial)
                {
                    self.commit(&slot, &serial);
                }
            }
            Other::Abort => {
                let open = self.others().open.take();
                if let Some((slot, _, owner)) = open
                    && owner == pid
                {
                    self.cli(&format!("abort ssl cert {slot}"));
                }
            }
            Other::Replace(file, serial) => {
                let slot = self.slot(file);
                if self.open().is_none() && about(&self.set(&slot, Pool::get().item(serial)), "created").is_some() {
                    self.commit(&slot, serial);
                }
            }
            Other::Delete(file) => {
                let (slot, list) = (self.slot(file), self.list.display());
                self.others().disturbed = true;
                self.cli(&format!("del ssl crt-list {list} {slot}"));
                self.cli(&format!("del ssl cert {slot}"));
            }
        }
    }

    fn set(&self, slot: &str, item: &Item) -> String {
        self.cli(&format!("set ssl cert {slot} <<\n{}\n", item.pem))
    }

    fn commit(&self, slot: &str, serial: &str) {
        let reply = self.cli(&format!("commit ssl cert {slot}"));
        if reply.contains("Success!") {
            self.others().put.push((slot.to_owned(), serial.to_owned()));
        }
    }
}

/// The slot that a reply to `set` names.
fn about(reply: &str, done: &str) -> Option<String> {
    let rest = reply.strip_prefix(&format!("Transaction {done} for certificate "))?;
    Some(rest.split_once('!')?.0.to_owned())
}
