//! certbot, as an operator has it beside hotcert: it orders by itself, and keeps its certificates in `live/`.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::tool::{self, Ended};
use super::{Pebble, Scratch};

/// A certbot with directories of its own, for one authority.
#[derive(Debug)]
pub struct Certbot {
    scratch: Scratch,
    server: String,
    root_ca: PathBuf,
    listen: SocketAddr,
    path: OsString,
}

impl Certbot {
    /// A certbot without an account. It answers challenges itself, at `listen`: where the authority looks, or where HAProxy
    /// forwards to ([`super::Haproxy::acme_addr`]).
    pub fn new(pebble: &Pebble, listen: SocketAddr) -> Self {
        let scratch = Scratch::new();
        let path = tool::path_with_hotcert(&scratch).as_ref().to_owned();
        Self { scratch, server: pebble.directory(), root_ca: pebble.root_ca(), listen, path }
    }

    /// Its configuration directory, `/etc/letsencrypt` elsewhere.
    pub fn config_dir(&self) -> PathBuf {
        self.scratch.join("etc")
    }

    /// The directory with one directory for each certificate, whose files are links into `archive/`.
    pub fn live(&self) -> PathBuf {
        self.config_dir().join("live")
    }

    /// A file of a certificate, such as `fullchain.pem`, as text.
    pub fn read(&self, lineage: &str, file: &str) -> String {
        self.scratch.read(format!("etc/live/{lineage}/{file}"))
    }

    /// Orders a certificate for these names; it is named after the first one.
    pub fn obtain<S: AsRef<OsStr>>(&self, names: &[&str], more: impl IntoIterator<Item = S>) -> Ended {
        let mut command = self.command("certonly");
        command.args(["--standalone", "--agree-tos", "--register-unsafely-without-email", "--server", &self.server]);
        command.args(["--http-01-address", &self.listen.ip().to_string()]);
        command.args(["--http-01-port", &self.listen.port().to_string()]);
        for name in names {
            command.args(["-d", name]);
        }
        tool::run(command.args(more))
    }

    /// Renews everything now, with what `obtain` was given.
    pub fn renew(&self) -> Ended {
        tool::run(self.command("renew").args(["--force-renewal", "--no-random-sleep-on-renew"]))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(tool::packaged("certbot"));
        command.arg(subcommand).arg("--non-interactive");
        for (flag, directory) in [("--config-dir", "etc"), ("--work-dir", "lib"), ("--logs-dir", "log")] {
            command.arg(flag).arg(self.scratch.dir(directory));
        }
        command.env("REQUESTS_CA_BUNDLE", &self.root_ca).env("PATH", &self.path);
        command
    }
}
