mod certs;
mod crash;
mod publish;
mod renewal;
mod small;

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::bundle::{Bundle, PrivateKey};
use crate::model::{CertName, KeyType};

/// A store in a directory that goes away with it.
struct Fixture {
    _dir: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        DirBuilder::new().mode(0o700).create(&root).unwrap();
        Self { _dir: dir, store: Store::open(&root).unwrap() }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.store.root.join(below)
    }

    fn lock(&self) -> CertLock {
        self.store.try_lock_certificate(&name()).unwrap().expect("nobody else has the lock")
    }
}

fn name() -> CertName {
    "example.org".parse().unwrap()
}

fn meta() -> Meta {
    Meta { source: Source::Acme, issuer: Some("test".to_owned()), created: at("2026-11-22T14:00:00Z") }
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

/// A new leaf with one intermediate for the given key.
fn bundle_for(key: &PrivateKey) -> Bundle {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let own = KeyPair::from_pem(key.pem()).unwrap();
    let leaf = CertificateParams::new(vec!["example.org".to_owned()]).unwrap().signed_by(&own, &authority).unwrap();
    Bundle::reopen(&name(), &[leaf.pem().as_bytes(), authority.pem().as_bytes(), key.pem().as_bytes()]).unwrap()
}

fn bundle() -> Bundle {
    bundle_for(&PrivateKey::generate(KeyType::EcdsaP256).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & PERMISSIONS
}

/// Every entry below a directory, as paths relative to it, in order.
fn tree(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, out: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            out.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                walk(root, &path, out);
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}
