//! What the `bind` lines say: where clients come in, and with which certificates they are met.

use std::path::PathBuf;

use super::address::Listen;
use super::configuration::{Configuration, Line, Section};

/// A `bind` line, with the lines of its proxy that add certificates to it.
#[derive(Debug, Clone)]
pub struct Bind<'a> {
    /// The proxy.
    pub section: &'a Section,
    /// The line.
    pub line: &'a Line,
    /// Its addresses.
    pub listen: Vec<Listen>,
    /// Whether it speaks TLS.
    pub has_tls: bool,
    /// Certificates, and directories of certificates (`crt`, `default-crt`, `ssl-f-use`).
    pub certificates: Vec<Named>,
    /// The crt-lists.
    pub crt_lists: Vec<Named>,
    /// Whether names without a certificate are refused, so that it starts without any (`strict-sni`).
    pub is_strict: bool,
    /// Whether the PROXY protocol comes before everything else (`accept-proxy`).
    pub accepts_proxy: bool,
    /// The file with session ticket keys (`tls-ticket-keys`).
    pub ticket_keys: Option<String>,
}

/// A file or a directory in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// As `HAProxy` names it in its runtime API: with `crt-base` before it.
    pub name: String,
    /// Where that is, as `HAProxy` sees it; `None` for what is no path, such as `@store/name`, or relative to nobody knows what.
    pub path: Option<PathBuf>,
}

impl Configuration {
    /// All `bind` lines.
    #[must_use]
    pub fn binds(&self) -> Vec<Bind<'_>> {
        let global = self.global();
        let crt_base = global.crt_base.as_deref();
        let is_always_strict = self
            .of(&["global"])
            .flat_map(|section| section.all("ssl-default-bind-options"))
            .any(|line| line.words.iter().any(|word| word == "strict-sni"));
        let mut out = Vec::new();
        for section in self.of(&["frontend", "listen"]) {
            let shared: Vec<Named> =
                section.all("ssl-f-use").filter_map(|line| Some(named(line, line.after("crt")?, crt_base))).collect();
            for line in section.all("bind") {
                let mut bind = Bind::read(section, line, crt_base, global.unix_bind_prefix.as_deref());
                bind.is_strict |= is_always_strict;
                if bind.has_tls {
                    bind.certificates.extend(shared.iter().cloned());
                }
                out.push(bind);
            }
        }
        out
    }
}

impl<'a> Bind<'a> {
    fn read(section: &'a Section, line: &'a Line, crt_base: Option<&str>, prefix: Option<&str>) -> Self {
        let with_prefix = |listen| match (listen, prefix) {
            (Listen::Unix(path), Some(prefix)) => Listen::Unix(format!("{prefix}{}", path.display()).into()),
            (listen, _) => listen,
        };
        let addresses = line.words.get(1).map(|word| Listen::parse_all(word)).unwrap_or_default();
        let mut out = Self {
            section,
            line,
            listen: addresses.into_iter().map(with_prefix).collect(),
            has_tls: false,
            certificates: Vec::new(),
            crt_lists: Vec::new(),
            is_strict: false,
            accepts_proxy: false,
            ticket_keys: None,
        };
        let mut words = line.words.iter().skip(2);
        while let Some(word) = words.next() {
            match word.as_str() {
                "ssl" => out.has_tls = true,
                "strict-sni" => out.is_strict = true,
                "accept-proxy" => out.accepts_proxy = true,
                "crt" | "default-crt" => out.certificates.extend(words.next().map(|name| named(line, name, crt_base))),
                // The name of a list is never put behind crt-base, other than those in it.
                "crt-list" => out.crt_lists.extend(words.next().map(|name| named(line, name, None))),
                "tls-ticket-keys" => out.ticket_keys = words.next().cloned(),
                _ => {}
            }
        }
        out
    }
}

/// A name of a certificate (configuration manual, `crt-base`).
pub(super) fn named(line: &Line, name: &str, crt_base: Option<&str>) -> Named {
    if name.starts_with('@') {
        return Named { name: name.to_owned(), path: None };
    }
    let name = match crt_base {
        Some(base) if !name.starts_with('/') => format!("{base}/{name}"),
        _ => name.to_owned(),
    };
    Named { path: line.path(&name), name }
}
