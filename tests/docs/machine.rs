//! A machine of its own for a page: a directory that its programs take for `/`, with a network and processes of its own.
//!
//! Programs and libraries are those of the machine where the test runs; everything that is written to is new and empty, in memory.
//! `/usr/local` has hotcert, HAProxy 3.2, and stand-ins for what needs a machine that was booted (`tests/docs/programs`). The
//! page's commands are run in `/srv/hotcert`, which looks like a checkout of this repository.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;

use super::support::process::Process;
use super::support::tool::{self, Ended};
use super::support::{HaproxyVersion, Leaf, Pki, Scratch, server};
use super::world::World;

/// Where the commands are run.
const HOME: &str = "/srv/hotcert";

/// As root has it, with our stand-ins first.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/hotcert";

/// Users and groups of a Debian with HAProxy.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nhaproxy:x:104:105::/var/lib/haproxy:/usr/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nhaproxy:x:105:\nnogroup:x:65534:\n";

/// What HAProxy's package for Debian brings, as far as it matters.
const HAPROXY: &str = "\
global
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    maxconn 1000
    daemon

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
";

/// How long a server may take until it answers.
const DEADLINE: Duration = Duration::from_secs(30);

/// A machine, and the world around it.
#[derive(Debug)]
pub struct Machine {
    servers: Vec<Process>,
    world: Option<World>,
    pki: Pki,
    last: Option<Leaf>,
    root: PathBuf,
    scratch: Scratch,
}

impl Machine {
    /// A machine with a fresh HAProxy installation, which does not run. This process must be in namespaces of its own.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let root = scratch.dir("root");
        let machine = Self { servers: Vec::new(), world: None, pki: Pki::new(), last: None, root, scratch };
        machine.mount();
        machine.furnish();
        machine
    }

    /// Connects it to the internet, with the authority in it.
    pub fn connect(&mut self) {
        if self.world.is_none() {
            let world = World::new(&self.pki, &self.root);
            self.write("/etc/resolv.conf", &World::resolver());
            self.write("/etc/hosts", &format!("127.0.0.1 localhost\n{}", World::hosts()));
            self.world = Some(world);
        }
    }

    /// Runs lines in a shell, to their end. What they print on both streams is kept together.
    pub fn shell(&self, lines: &str) -> Ended {
        tool::run(&mut self.command(lines))
    }

    /// Starts a program that goes on, and waits until its control socket is there.
    pub fn start(&mut self, line: &str) {
        self.stop();
        let socket = self.path("/var/lib/hotcert/control.sock");
        let mut process =
            Process::spawn(line, &mut self.command(&format!("exec {line}")), &self.scratch.join("run.log"));
        process.wait_ready(DEADLINE, || socket.exists().then_some(())).unwrap_or_else(|error| panic!("{error}"));
        self.servers.push(process);
    }

    /// Ends what [`Machine::start`] began.
    pub fn stop(&mut self) {
        self.servers.clear();
        let _ = fs::remove_file(self.path("/var/lib/hotcert/control.sock"));
    }

    /// A path of the machine, as this process sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Writes a file, with its directories.
    pub fn write(&self, path: &str, text: &str) {
        self.scratch.write(self.path(path), text);
    }

    /// Makes a certificate: one file with its key, or two.
    pub fn certificate(&mut self, words: &[String]) {
        let (files, names): (Vec<&str>, Vec<&str>) = words.iter().map(String::as_str).partition(|word| {
            word.contains(['/', '.']) && {
                let kind = Path::new(word).extension().and_then(|kind| kind.to_str());
                kind.is_some_and(|kind| ["pem", "key", "crt", "ecdsa", "rsa"].contains(&kind))
            }
        });
        let is_expired = names.contains(&"expired");
        let names: Vec<&str> = names.into_iter().filter(|name| *name != "expired").collect();
        let mut leaf = self.pki.leaf(names[0]).names(&names);
        leaf = if is_expired { leaf.valid_days(-90, -1) } else { leaf.not_before(Timestamp::now()) };
        if files.iter().any(|file| file.contains("rsa")) {
            leaf = leaf.key(super::support::KeyType::Rsa2048);
        }
        let leaf = leaf.issue();
        let absolute = |file: &str| if file.starts_with('/') { file.to_owned() } else { format!("{HOME}/{file}") };
        match files[..] {
            [one] => self.write(&absolute(one), &leaf.fullchain_and_key()),
            [certificate, key] => {
                self.write(&absolute(certificate), &leaf.fullchain());
                self.write(&absolute(key), &leaf.key_pem());
            }
            _ => panic!("one or two files: {files:?}"),
        }
        self.last = Some(leaf);
    }

    /// Writes an OCSP response for the last certificate that was made.
    pub fn staple(&self, path: &str) {
        let response = self.pki.ocsp(self.last.as_ref().expect("a certificate was made")).der();
        self.scratch.write(self.path(path), response);
    }

    /// Runs another version of HAProxy on a configuration, to check it.
    pub fn haproxy_check(&self, version: HaproxyVersion, config: &str) -> Ended {
        self.shell(&format!("exec {} -c -f {config}", version.program().display()))
    }

    fn command(&self, lines: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["/usr/bin/env", "-i", &format!("PATH={PATH}"), "HOME=/root", "LANG=C.UTF-8"]);
        command.args(["/bin/sh", "-c", &format!("cd {HOME} || exit\n{lines}")]);
        command
    }

    fn mount(&self) {
        let root = self.root.to_str().expect("a temporary directory has a plain name");
        let repository = super::repository();
        // The machine of the test can be read, and not be changed.
        let mut lines = format!(
            "set -e\nmount --make-rprivate /\nmount -t tmpfs -o mode=755 machine {root}\ncd {root}\n\
             show() {{ mkdir -p \".$1\" && mount --bind \"$1\" \".$1\" && mount -o remount,bind,ro \".$1\"; }}\n\
             mkdir -p etc dev proc tmp var run root opt srv\nchmod 1777 tmp\n\
             for link in bin sbin lib lib32 lib64; do [ ! -L /$link ] || ln -s usr/$link $link; done\n\
             show /usr\nmount -t tmpfs -o mode=755 local usr/local\nmkdir usr/local/bin usr/local/sbin\n\
             mount --rbind /dev dev\nmount --bind /proc proc\nip link set lo up\nshow {}\n",
            repository.display(),
        );
        // What is built, and the servers, may lie elsewhere.
        let program = Path::new(env!("CARGO_BIN_EXE_hotcert")).parent().expect("a program is in a directory");
        let servers = fs::canonicalize(repository.join(".servers")).expect("there are servers: run ./scripts/servers");
        for place in [program, &servers].into_iter().filter(|place| !place.starts_with(&repository)) {
            lines.push_str(&format!("show {}\n", place.display()));
        }
        let ended = tool::run(Command::new("sh").args(["-c", &lines]));
        assert!(ended.status.success(), "{ended:?}\nhint: the tests need util-linux and iproute2: run ./scripts/test");
    }

    fn furnish(&self) {
        for (path, text) in [
            ("/etc/passwd", PASSWD),
            ("/etc/group", GROUP),
            ("/etc/hosts", "127.0.0.1 localhost\n"),
            ("/etc/resolv.conf", ""),
            ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
            ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("/etc/haproxy/haproxy.cfg", HAPROXY),
        ] {
            self.write(path, text);
        }
        let roots = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        self.write("/etc/ssl/certs/ca-certificates.crt", &(roots + self.pki.root_pem()));
        let repository = super::repository();
        for (link, target) in [
            ("/var/run", PathBuf::from("/run")),
            ("/opt/hotcert/hotcert", PathBuf::from(env!("CARGO_BIN_EXE_hotcert"))),
            ("/srv/hotcert/target/release/hotcert", PathBuf::from(env!("CARGO_BIN_EXE_hotcert"))),
            ("/srv/hotcert/scripts", repository.join("scripts")),
            ("/srv/hotcert/systemd", repository.join("systemd")),
            ("/srv/hotcert/docs", repository.join("docs")),
        ] {
            let link = self.path(link);
            fs::create_dir_all(link.parent().expect("a link is in a directory")).expect("a directory can be made");
            symlink(target, link).expect("a link can be made");
        }
        for entry in fs::read_dir(repository.join("tests/docs/programs")).expect("there are stand-ins").flatten() {
            let place = self.path("/usr/local/bin").join(entry.file_name());
            fs::copy(entry.path(), &place).expect("a program can be copied");
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let haproxy = server("haproxy", HaproxyVersion::V3_2.name(), "haproxy");
        self.write("/usr/local/sbin/haproxy", &format!("#!/bin/sh\nexec {} \"$@\"\n", haproxy.display()));
        let ready = "chmod 755 /usr/local/sbin/haproxy
            mkdir -p /etc/haproxy/certs /etc/systemd/system /etc/sysusers.d /etc/tmpfiles.d /var/lib/haproxy /var/log /var/tmp \\
                /usr/local/share/man/man1 /etc/bash_completion.d
            install -d -m 2775 -o haproxy -g haproxy /run/haproxy
            install -d -m 700 /var/lib/hotcert";
        for place in [
            "alternatives",
            "ld.so.cache",
            "ld.so.conf",
            "ld.so.conf.d",
            "ssl/openssl.cnf",
            "python3.11",
            "debian_version",
        ] {
            let from = Path::new("/etc").join(place);
            if from.exists() {
                let to = self.path("/etc").join(place);
                let copied = Command::new("cp").arg("-a").arg(&from).arg(&to).status().expect("cp can be run");
                assert!(copied.success(), "copy {}", from.display());
            }
        }
        self.shell(ready).expect_success();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Before its directories; what daemons are left goes with the namespace of processes.
        self.stop();
        self.world = None;
        let _ = Command::new("umount").arg("-l").arg(&self.root).status();
    }
}
