//! Certificates in thousands: issued once, stored once, and copied for each program that is measured.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use hotcert::bundle::Bundle;
use hotcert::config::{Certificate, Node, Remembered};
use hotcert::model::CertName;
use hotcert::store::{Meta, Source, Store};

use crate::support::Pki;

/// How many processors issue and store; what is measured waits until they are done.
const WORKERS: usize = 2;

/// So many certificates of one authority (ECDSA P-256, one intermediate), each in two generations with a key of its own.
pub struct Stock {
    pub names: Vec<String>,
    /// Leaf, chain and key as PEM, of each generation.
    pub pems: [Vec<String>; 2],
}

impl Stock {
    /// Issues them.
    pub fn new(count: usize) -> Self {
        let pki = Pki::new();
        let names: Vec<String> = (0..count).map(|number| format!("shop{number}.test")).collect();
        let mut pems = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for generation in &mut pems {
            let parts = in_parts(&names, |part| {
                part.iter().map(|name| pki.leaf(name).issue().fullchain_and_key()).collect::<Vec<_>>()
            });
            generation.extend(parts.into_iter().flatten());
        }
        Self { names, pems }
    }

    /// Writes the first generation as files.
    pub fn write_files(&self, directory: &Path, generation: usize) {
        fs::create_dir_all(directory).unwrap();
        for (name, pem) in self.names.iter().zip(&self.pems[generation]) {
            fs::write(directory.join(format!("{name}.pem")), pem).unwrap();
        }
    }

    /// Fills a state directory with both generations, the first one current, remembered for the first so many nodes. It is built
    /// in memory, for the store syncs each file, and copied.
    pub fn fill(&self, state: &Path, root: &Root, nodes: usize) {
        let nodes: Vec<Node> = (0..nodes)
            .map(|at| {
                Node::new(format!("node{at}").parse().unwrap(), root.socket(at).to_str().unwrap().parse().unwrap())
            })
            .collect();
        let built = tempfile::Builder::new().prefix("hotcert-bench-").tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(built.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let store = Store::open(built.path()).unwrap();
        let indexed: Vec<usize> = (0..self.names.len()).collect();
        in_parts(&indexed, |part| part.iter().for_each(|&at| self.add(&store, at, &nodes)));
        copy(built.path(), state);
    }

    fn add(&self, store: &Store, at: usize, nodes: &[Node]) {
        let name: CertName = self.names[at].parse().unwrap();
        let lock = store.try_lock_certificate(&name).unwrap().unwrap();
        let meta = Meta { source: Source::Push, issuer: None, created: jiff::Timestamp::now() };
        for pems in self.pems.iter().rev() {
            let bundle = Bundle::reopen(&name, &[pems[at].as_bytes()]).unwrap();
            store.add(&lock, &bundle, &meta).unwrap();
        }
        let mut certificate = Certificate::new(name.clone());
        certificate.domains = vec![self.names[at].parse().unwrap()];
        store.remember(&lock, &Remembered { certificate, nodes: nodes.to_vec() }).unwrap();
        // The second one was stored first, so that the first has the number 2.
    }

    /// Makes one generation current of the first so many certificates, as a renewal of all would.
    pub fn select(&self, state: &Path, count: usize, generation: usize) {
        for name in &self.names[..count] {
            let place = state.join("certs").join(name);
            let link = place.join(".bench");
            symlink(format!("generations/{}", 2 - generation), &link).unwrap();
            fs::rename(&link, place.join("current")).unwrap();
        }
        // What the store notes for whoever looks whether anything is new.
        fs::File::open(state.join("certs")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    }
}

/// Copies a tree as it is, and waits until it is on the disk.
pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    run(Command::new("cp").arg("-a").arg(from).arg(to));
    run(Command::new("sync").arg("-f").arg(to));
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// Works on the parts of a list at the same time.
fn in_parts<T: Sync, R: Send>(all: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let size = all.len().div_ceil(WORKERS).max(1);
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = all.chunks(size).map(|part| scope.spawn(move || work(part))).collect();
        running.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

/// The directory of a run on the disk, which goes away with it: a place for each node, always the same, and others.
pub struct Root(tempfile::TempDir);

impl Root {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("hotcert-bench-").tempdir().unwrap())
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The empty place of a node.
    pub fn node(&self, at: usize) -> PathBuf {
        let place = self.join(&format!("n{at}"));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        place
    }

    fn socket(&self, at: usize) -> PathBuf {
        self.join(&format!("n{at}/stats.sock"))
    }
}
