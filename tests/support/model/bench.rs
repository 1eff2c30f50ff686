//! One HAProxy to be asked, real or in memory, so that one suite is run against both.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use hotcert::haproxy::{Connect, SystemConnect};
use hotcert::model::{Address, Slot};

use super::super::client::{Options, handshake};
use super::super::haproxy::Builder;
use super::super::http::http_get;
use super::super::{Haproxy, HaproxyVersion, Http01, Pki, Scratch};
use super::{BindLine, Fake, Layout, Profile, Source};

/// Process ids of those in memory: higher than what a system gives.
static PIDS: AtomicU32 = AtomicU32::new(1 << 24);

/// Which HAProxy a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Real(HaproxyVersion),
    Fake(HaproxyVersion),
}

/// Makes one test for each version of the real HAProxy and of the one in memory, of each function named, which takes a [`Subject`].
macro_rules! each_subject {
    (@modules $tests:tt $($module:ident $kind:ident $version:ident),+) => {
        $(each_subject! { @module $module $kind $version $tests })+
    };
    (@module $module:ident $kind:ident $version:ident [$($test:ident)+]) => {
        mod $module {
            use crate::support::HaproxyVersion;
            use crate::support::model::Subject;
            $(#[test] fn $test() { super::$test(Subject::$kind(HaproxyVersion::$version)); })+
        }
    };
    ($($test:ident),+ $(,)?) => {
        each_subject! { @modules [$($test)+]
            v2_6 Real V2_6, v2_8 Real V2_8, v3_0 Real V3_0, v3_2 Real V3_2,
            fake_2_6 Fake V2_6, fake_2_8 Fake V2_8, fake_3_0 Fake V3_0, fake_3_2 Fake V3_2
        }
    };
}
pub(crate) use each_subject;

/// A description of one, as [`Builder`] has it.
#[derive(Debug)]
pub struct Description {
    subject: Subject,
    real: Builder,
    files: Vec<(PathBuf, String)>,
    sources: Vec<&'static str>,
    second: bool,
    tcp: bool,
    bufsize: usize,
    level: String,
    maps: Vec<String>,
}

/// One that was started.
#[derive(Debug)]
pub enum Bench {
    Real { haproxy: Box<Haproxy>, tcp: bool },
    Fake { fake: Fake, scratch: Scratch },
}

impl Subject {
    /// Its version.
    pub fn version(self) -> HaproxyVersion {
        match self {
            Self::Real(version) | Self::Fake(version) => version,
        }
    }

    /// Begins a description: one bind with the certificate directory.
    pub fn haproxy(self) -> Description {
        Description {
            subject: self,
            real: Haproxy::new(self.version()),
            files: Vec::new(),
            sources: vec!["certs"],
            second: false,
            tcp: false,
            bufsize: 16384,
            level: "admin".to_owned(),
            maps: Vec::new(),
        }
    }
}

impl Description {
    /// Puts a certificate file into the directory.
    pub fn certificate(self, name: &str, pem: &str) -> Self {
        self.file(PathBuf::from("certs").join(name), pem)
    }

    /// Puts a file below its directory.
    pub fn file(mut self, name: impl Into<PathBuf>, content: &str) -> Self {
        let name = name.into();
        self.real = self.real.file(name.clone(), content);
        self.files.push((name, content.to_owned()));
        self
    }

    /// Serves the certificates of a crt-list with these lines, instead of the directory's.
    pub fn crt_list(mut self, lines: &str) -> Self {
        self.real = self.real.tls("ssl crt-list {dir}/crt-list.txt strict-sni");
        self.sources = vec!["crt-list.txt"];
        self.file("crt-list.txt", lines)
    }

    /// Serves a self-signed placeholder to names without a certificate.
    pub fn placeholder(mut self) -> Self {
        self.real = self.real.tls("ssl crt {dir}/placeholder.pem crt {dir}/certs/");
        self.sources = vec!["placeholder.pem", "certs"];
        self.file("placeholder.pem", &Pki::self_signed("placeholder.invalid").fullchain_and_key())
    }

    /// Adds a second bind with a crt-list of these lines.
    pub fn second_crt_list(mut self, lines: &str) -> Self {
        self.real = self.real.tls2("ssl crt-list {dir}/crt-list.txt strict-sni");
        self.second = true;
        self.file("crt-list.txt", lines)
    }

    /// Sets `tune.bufsize`.
    pub fn bufsize(mut self, bytes: usize) -> Self {
        self.real = self.real.global(&format!("tune.bufsize {bytes}"));
        self.bufsize = bytes;
        self
    }

    /// Sets what the socket allows.
    pub fn level(mut self, level: &str) -> Self {
        self.real = self.real.stats_level(level);
        level.clone_into(&mut self.level);
        self
    }

    /// Lets the real one listen on TCP too.
    pub fn tcp_stats(mut self) -> Self {
        self.real = self.real.tcp_stats();
        self.tcp = true;
        self
    }

    /// Answers challenges from a map.
    pub fn map(mut self, kind: Http01) -> Self {
        self.maps.push(if kind == Http01::VirtualMap { "virt@acme".to_owned() } else { "{dir}/acme.map".to_owned() });
        self.real = self.real.http01(kind);
        self
    }

    /// Runs the real one in master-worker mode.
    pub fn master(mut self) -> Self {
        self.real = self.real.master();
        self
    }

    /// Starts it.
    pub fn start(self) -> Bench {
        match self.subject {
            Subject::Real(_) => Bench::Real { haproxy: Box::new(self.real.start()), tcp: self.tcp },
            Subject::Fake(version) => {
                let scratch = Scratch::new();
                scratch.dir("certs");
                let expand = |text: &str| text.replace("{dir}", &scratch.path().to_string_lossy());
                for (name, content) in &self.files {
                    scratch.write(name, expand(content));
                }
                let bind = |line: usize, sources: &[&str]| BindLine {
                    name: format!("https/{}:{line}", scratch.join("haproxy.cfg").display()),
                    strict: sources.len() == 1,
                    sources: sources.iter().map(|name| source(&scratch, name)).collect(),
                };
                let mut binds = vec![bind(17, &self.sources)];
                if self.second {
                    binds.push(bind(18, &["crt-list.txt"]));
                }
                let maps = self.maps.iter().map(|map| expand(map)).collect();
                let layout = Layout { bufsize: self.bufsize, level: self.level, binds, maps };
                let pid = PIDS.fetch_add(1000, Ordering::Relaxed);
                let fake = Fake::start(Profile::from(version), layout, pid).expect("its files are good");
                Bench::Fake { fake, scratch }
            }
        }
    }
}

fn source(scratch: &Scratch, name: &str) -> Source {
    let path = scratch.join(name);
    match name {
        "certs" => Source::Directory(path),
        "crt-list.txt" => Source::List(path),
        _ => Source::File(path),
    }
}

impl Bench {
    /// How its runtime API is reached.
    pub fn connect(&self) -> &dyn Connect {
        match self {
            Self::Real { .. } => &SystemConnect,
            Self::Fake { fake, .. } => fake,
        }
    }

    /// Where.
    pub fn address(&self) -> Address {
        Address::Unix(self.dir().join("stats.sock"))
    }

    /// Everywhere.
    pub fn addresses(&self) -> Vec<Address> {
        let tcp = match self {
            Self::Real { haproxy, tcp: true } => Some(format!("tcp://{}", haproxy.stats_addr())),
            _ => None,
        };
        let tcp = tcp.map(|address| address.parse().expect("it is an address"));
        std::iter::once(self.address()).chain(tcp).collect()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Real { haproxy, .. } => haproxy.dir(),
            Self::Fake { scratch, .. } => scratch.path(),
        }
    }

    /// The certificate directory as a list.
    pub fn directory(&self) -> Slot {
        slot(&self.dir().join("certs"))
    }

    /// The crt-list.
    pub fn crt_list(&self) -> Slot {
        slot(&self.dir().join("crt-list.txt"))
    }

    /// A file in the directory.
    pub fn in_directory(&self, name: &str) -> Slot {
        slot(&self.dir().join("certs").join(name))
    }

    /// One command, outside of prompt mode.
    pub fn cli(&self, command: &str) -> String {
        match self {
            Self::Real { haproxy, .. } => haproxy.cli(command),
            Self::Fake { fake, .. } => fake.cli(command),
        }
    }

    /// One command with a payload.
    pub fn cli_payload(&self, command: &str, payload: &str) -> String {
        self.cli(&format!("{command} <<\n{}\n", payload.trim_end()))
    }

    /// The serial number that a client is shown who asks for a name, if it is not refused.
    pub fn shown(&self, name: &str) -> Option<String> {
        match self {
            Self::Real { haproxy, .. } => {
                handshake(haproxy.https_addr(), name, Options::default()).ok().map(|served| served.serial)
            }
            Self::Fake { fake, .. } => fake.shown(name).map(|leaf| leaf.serial.clone()),
        }
    }

    /// What a challenge is answered from the map, if it is.
    pub fn challenge(&self, token: &str) -> Option<String> {
        match self {
            Self::Real { haproxy, .. } => {
                let path = format!("/.well-known/acme-challenge/{token}");
                let answer = http_get(haproxy.http_addr(), "a.test", &path).expect("it answers");
                (answer.status == 200).then(|| answer.text())
            }
            Self::Fake { fake, .. } => fake.look(|process| {
                let entries = process.maps.values().next().expect("it has a map");
                entries.iter().find(|(_, key, _)| key == token).map(|(_, _, value)| value.clone())
            })?,
        }
    }

    /// The process that answers.
    pub fn pid(&self) -> u32 {
        match self {
            Self::Real { haproxy, .. } => haproxy.pid(),
            Self::Fake { fake, .. } => fake.look(|process| process.pid).expect("it runs"),
        }
    }

    /// Whether it runs and was never harmed.
    pub fn is_alive(&mut self) -> bool {
        match self {
            Self::Real { haproxy, .. } => haproxy.is_alive(),
            Self::Fake { fake, .. } => fake.is_unharmed(),
        }
    }

    /// Lets another process take over.
    pub fn reload(&mut self) {
        match self {
            Self::Real { haproxy, .. } => haproxy.reload(),
            Self::Fake { fake, .. } => fake.reload().expect("its files are good"),
        }
    }
}

fn slot(path: &Path) -> Slot {
    path.to_str().expect("paths of tests are text").parse().expect("paths of tests are slots")
}
