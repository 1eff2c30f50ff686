//! A disk so small that it fills, or that becomes read-only.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Bytes that a test writes at a time while it fills the disk.
const CHUNK: usize = 512;

/// A tmpfs mounted at a path, seen only by this object and by the programs run inside it (`mount_namespaces(7)`).
///
/// Needs the right to mount: root, as in CI.
#[derive(Debug)]
pub struct TinyDisk {
    holder: Child,
    path: PathBuf,
}

impl TinyDisk {
    /// Mounts a disk of `kib` KiB at an existing directory; what the directory held before is copied onto it.
    pub fn mount(path: impl AsRef<Path>, kib: u32) -> Self {
        let path = path.as_ref().to_path_buf();
        // The holder keeps the namespace alive, and ends when its standard input does: with the test, however that ends.
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-euc"])
            .arg(
                r#"new=$(mktemp -d)
                mount -t tmpfs -o "size=$2k,mode=0700" tmpfs "$new"
                cp -a "$1/." "$new/"
                mount --move "$new" "$1"
                rmdir "$new"
                echo mounted
                exec cat"#,
            )
            .arg("sh")
            .arg(&path)
            .arg(kib.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) can be run");
        let mut answer = [0; 8];
        let out = holder.stdout.as_mut().expect("standard output is a pipe");
        let mounted = out.read_exact(&mut answer).is_ok() && &answer == b"mounted\n";
        assert!(mounted, "no disk can be mounted at {}\nhint: run this test as root", path.display());
        Self { holder, path }
    }

    /// The command that runs another inside: put it before the program.
    pub fn enter(&self) -> [String; 4] {
        ["nsenter".into(), "--mount".into(), format!("--target={}", self.holder.id()), "--".into()]
    }

    /// Where the test finds the content of the disk.
    pub fn view(&self) -> PathBuf {
        let inside = self.path.strip_prefix("/").expect("the mount point is absolute");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// Fills the disk to the last block, by a file `ballast`.
    pub fn fill(&self) {
        let mut ballast = File::create(self.view().join("ballast")).expect("the disk takes another file");
        loop {
            match ballast.write_all(&[0; CHUNK]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("fill the disk: {error}"),
            }
        }
    }

    /// Frees what [`TinyDisk::fill`] took.
    pub fn free(&self) {
        fs::remove_file(self.view().join("ballast")).expect("the ballast was there");
    }

    /// Makes the disk read-only, or writable again.
    pub fn read_only(&self, read_only: bool) {
        let [nsenter, arguments @ ..] = self.enter();
        let status = Command::new(nsenter)
            .args(arguments)
            .args(["mount", "-o", if read_only { "remount,ro" } else { "remount,rw" }])
            .arg(&self.path)
            .status()
            .expect("nsenter (util-linux) can be run");
        assert!(status.success(), "remount {}: {status}", self.path.display());
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
