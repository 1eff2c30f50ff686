//! The description of a HAProxy: its configuration and the files it starts with.

use std::path::PathBuf;

use super::super::net::Port;
use super::super::{Pki, Scratch};
use super::{Haproxy, HaproxyVersion, Ports, launch};

/// The default configuration. Connections are bounded because HAProxy sizes its tables by the limit of open files.
const DEFAULT: &str = "\
global
    maxconn 1000
    stats socket {socket} mode 600 level {level} expose-fd listeners
{global}
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http
    bind 127.0.0.1:{http}
    http-request return status 200 content-type text/plain string hi unless { path_beg /.well-known/acme-challenge/ }
{http01}
frontend https
    bind 127.0.0.1:{https} {tls}
{https2_bind}
    http-request return status 200 content-type text/plain string hi
backend acme
    server hotcert 127.0.0.1:{acme}
";

/// A bind line's arguments for each way to name certificates.
const TLS_DIRECTORY: &str = "ssl crt {dir}/certs/ strict-sni";
const TLS_CRT_LIST: &str = "ssl crt-list {dir}/crt-list.txt strict-sni";
const TLS_PLACEHOLDER: &str = "ssl crt {dir}/placeholder.pem crt {dir}/certs/";

/// Lines of the plain HTTP frontend that make HAProxy answer from a map, named once (3.0 refuses it twice).
const MAP_LINES: &str = "    acl acme_path path_beg /.well-known/acme-challenge/
    http-request set-var(txn.keyauth) path,field(-1,/),map({map}) if acme_path
    http-request return status 200 content-type text/plain lf-string \"%[var(txn.keyauth)]\" if acme_path { var(txn.keyauth) -m found }
    http-request return status 404 if acme_path";

/// How challenges on `/.well-known/acme-challenge/` are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Http01 {
    /// By whatever listens on [`Haproxy::acme_addr`].
    Listener,
    /// By HAProxy, from the map file [`Haproxy::map`].
    Map,
    /// By HAProxy, from the map `virt@acme`, which has no file (3.0 and up).
    VirtualMap,
    /// By HAProxy, from the thumbprint of an account's key.
    Stateless(String),
}

impl Http01 {
    fn lines(&self) -> String {
        match self {
            Self::Listener => "    use_backend acme if { path_beg /.well-known/acme-challenge/ }".to_owned(),
            Self::Map => MAP_LINES.replace("{map}", "{dir}/acme.map"),
            Self::VirtualMap => MAP_LINES.replace("{map}", "virt@acme"),
            Self::Stateless(thumbprint) => format!(
                "    http-request return status 200 content-type text/plain lf-string \"%[path,field(-1,/)].{thumbprint}\" \
                 if {{ path_beg /.well-known/acme-challenge/ }} {{ path,field(-1,/) -m reg ^[A-Za-z0-9_-]{{16,128}}$ }}"
            ),
        }
    }
}

/// A HAProxy to be started.
///
/// In the configuration and in files, `{dir}`, `{socket}`, `{master}` and the ports `{http}`, `{https}`, `{https2}`, `{acme}` and
/// `{stats}` stand for what the started HAProxy has; in the configuration also the `{level}`, `{global}`, `{http01}`, `{tls}` and
/// `{https2_bind}` that the methods set.
#[derive(Debug)]
pub struct Builder {
    version: HaproxyVersion,
    config: String,
    tls: String,
    tls2: Option<String>,
    http01: Http01,
    level: String,
    global: Vec<String>,
    files: Vec<(PathBuf, String)>,
    master: bool,
}

impl Builder {
    pub(super) fn new(version: HaproxyVersion) -> Self {
        Self {
            version,
            config: DEFAULT.to_owned(),
            tls: TLS_DIRECTORY.to_owned(),
            tls2: None,
            http01: Http01::Listener,
            level: "admin".to_owned(),
            global: Vec::new(),
            files: Vec::new(),
            master: false,
        }
    }

    /// Replaces the whole configuration.
    pub fn config(mut self, template: &str) -> Self {
        template.clone_into(&mut self.config);
        self
    }

    /// Runs it in master-worker mode, with a master socket (`-W -S`).
    pub fn master(mut self) -> Self {
        self.master = true;
        self
    }

    /// Adds a line to the `global` section, such as `tune.bufsize 32768`.
    pub fn global(mut self, line: &str) -> Self {
        self.global.push(format!("    {line}"));
        self
    }

    /// Sets what the stats socket allows: `admin` (the default), `operator` or `user`.
    pub fn stats_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.level);
        self
    }

    /// Adds a stats socket on TCP, of the level that holds when it is called.
    pub fn tcp_stats(self) -> Self {
        self.global("stats socket ipv4@127.0.0.1:{stats} level {level}")
    }

    /// Sets how challenges are answered.
    pub fn http01(mut self, http01: Http01) -> Self {
        self.http01 = http01;
        self
    }

    /// Serves the certificates of `{dir}/crt-list.txt`, whose lines these are, instead of the directory's.
    pub fn crt_list(mut self, lines: &str) -> Self {
        TLS_CRT_LIST.clone_into(&mut self.tls);
        self.file("crt-list.txt", lines)
    }

    /// Serves a self-signed placeholder to names without a certificate, instead of refusing them (`strict-sni`).
    pub fn placeholder(mut self) -> Self {
        TLS_PLACEHOLDER.clone_into(&mut self.tls);
        let placeholder = Pki::self_signed("placeholder.invalid");
        self.file("placeholder.pem", &placeholder.fullchain_and_key())
    }

    /// Takes plain HTTP on `::1`, too.
    pub fn ipv6(mut self) -> Self {
        self.config = self.config.replace("bind 127.0.0.1:{http}", "bind 127.0.0.1:{http}\n    bind [::1]:{http}");
        self
    }

    /// Sets the arguments of the TLS bind line, such as `ssl crt {dir}/certs/a.pem alpn h2`.
    pub fn tls(mut self, arguments: &str) -> Self {
        arguments.clone_into(&mut self.tls);
        self
    }

    /// Adds a second TLS bind line, on [`Haproxy::https2_addr`].
    pub fn tls2(mut self, arguments: &str) -> Self {
        self.tls2 = Some(arguments.to_owned());
        self
    }

    /// Puts a certificate file, such as `a.test.pem`, into the directory.
    pub fn certificate(self, name: &str, pem: &str) -> Self {
        self.file(PathBuf::from("certs").join(name), pem)
    }

    /// Puts a file below `{dir}`.
    pub fn file(mut self, name: impl Into<PathBuf>, content: &str) -> Self {
        self.files.push((name.into(), content.to_owned()));
        self
    }

    /// Starts it, and waits until its runtime API answers.
    pub fn start(self) -> Haproxy {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`Builder::start`], for a HAProxy that may refuse what it is given; the error has its log.
    pub fn try_start(self) -> Result<Haproxy, String> {
        let ports = Ports {
            http: Port::reserve(),
            https: Port::reserve(),
            https2: Port::reserve(),
            acme: Port::reserve(),
            stats: Port::reserve(),
        };
        let scratch = Scratch::new();
        scratch.dir("certs");
        let https2 = self.tls2.as_ref().map(|arguments| format!("    bind 127.0.0.1:{{https2}} {arguments}"));
        let config = self
            .config
            .replace("{global}", &self.global.join("\n"))
            .replace("{level}", &self.level)
            .replace("{http01}", &self.http01.lines())
            .replace("{tls}", &self.tls)
            .replace("{https2_bind}", &https2.unwrap_or_default());
        let map = (self.http01 == Http01::Map).then(|| (PathBuf::from("acme.map"), String::new()));
        let config = (PathBuf::from("haproxy.cfg"), config);
        for (name, content) in self.files.iter().chain(map.iter()).chain([&config]) {
            scratch.write(name, expand(content, &scratch, &ports));
        }
        let process = launch(self.version, self.master, &scratch, &[]);
        let mut haproxy = Haproxy { process, version: self.version, master: self.master, ports, scratch };
        haproxy.wait_until_ready()?;
        Ok(haproxy)
    }
}

fn expand(text: &str, scratch: &Scratch, ports: &Ports) -> String {
    text.replace("{dir}", &scratch.path().to_string_lossy())
        .replace("{socket}", &scratch.join("stats.sock").to_string_lossy())
        .replace("{master}", &scratch.join("master.sock").to_string_lossy())
        .replace("{http}", &ports.http.number().to_string())
        .replace("{https}", &ports.https.number().to_string())
        .replace("{https2}", &ports.https2.number().to_string())
        .replace("{acme}", &ports.acme.number().to_string())
        .replace("{stats}", &ports.stats.number().to_string())
}
