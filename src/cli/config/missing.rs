//! What is missing in the configuration of a `HAProxy` that was found, and where it goes.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use serde::{Serialize, Serializer};

use super::find::{self, HTTPS};
use crate::config::{Method, Solver, Via};
use crate::host::{Answerer, Bind, Configuration, HTTP, Instance, Level, Line, Listen, Named, Place, Road, Section};
use crate::model::{ALPN_PROTOCOL, Address, printable, quoted_word};

/// The backend of the printed lines.
const BACKEND: &str = "hotcert_acme";
/// What is true for a challenge, and needs no name.
const IS_CHALLENGE: &str = "{ path_beg /.well-known/acme-challenge/ }";
/// Characters of a line that is taken over from the configuration.
const LONGEST: usize = 4000;
/// Lines that decide where a request goes, above which those for challenges have to stand.
const DECISIONS: [&str; 4] = ["http-request", "redirect", "use_backend", "default_backend"];

/// What was looked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    pub(super) missing: Vec<Missing>,
    pub(super) present: Vec<Present>,
}

/// Lines, or parts of one, that are not there.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    pub(super) how: How,
    /// The line that it is about; none for the end of the last file.
    #[serde(serialize_with = "as_text")]
    pub(super) place: Option<Place>,
    /// The section of that line.
    pub(super) section: Option<String>,
    pub(super) lines: String,
}

/// How lines are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum How {
    /// As lines after the place.
    After,
    /// At the end of the line at the place.
    Append,
    /// Instead of the line at the place.
    Replace,
    /// At the end of the file.
    End,
}

/// What is there.
#[derive(Debug, Serialize)]
pub(super) struct Present {
    #[serde(serialize_with = "as_text")]
    pub(super) place: Option<Place>,
    pub(super) what: String,
}

impl Findings {
    /// Whether the socket of a node may do what hotcert does.
    pub(super) fn socket(&mut self, instance: &Instance, socket: &Address) {
        let sockets = instance.configuration.global().stats_sockets;
        let Some(own) = sockets.iter().find(|own| find::is_same(&own.listen, socket, instance)) else { return };
        let section = || Some("global".to_owned());
        let Some(line) = line_at(&instance.configuration, &own.place).filter(|_| own.level != Level::Admin) else {
            return;
        };
        match line.words.iter().position(|word| word == "level") {
            None => self.miss(How::Append, Some(&own.place), section(), "level admin".to_owned()),
            Some(at) => {
                let mut words: Vec<String> = line.words.iter().map(|word| quoted_word(word)).collect();
                if let Some(level) = words.get_mut(at + 1) {
                    "admin".clone_into(level);
                }
                let line = printable(&format!("    {}", words.join(" ")), LONGEST);
                self.miss(How::Replace, Some(&own.place), section(), line);
            }
        }
    }

    /// Whether a `bind` line loads new certificates.
    pub(super) fn certificates(&mut self, instance: &Instance, directory: Option<&str>, list: Option<&str>) {
        let configuration = &instance.configuration;
        let binds = find::tls_binds(configuration);
        let Some((word, name)) = list.map(|list| ("crt-list", list)).or(directory.map(|directory| ("crt", directory)))
        else {
            return;
        };
        let name = name.trim_end_matches('/');
        let loads = |bind: &&Bind<'_>| {
            let named = if word == "crt" { &bind.certificates } else { &bind.crt_lists };
            named.iter().any(|named| {
                named.name.trim_end_matches('/') == name || named.path.as_deref() == Some(std::path::Path::new(name))
            })
        };
        let slash = if word == "crt" { "/" } else { "" };
        if let Some(bind) = binds.iter().find(loads) {
            if !bind.is_strict && has_no_certificate(bind, instance) {
                self.miss(How::Append, Some(&bind.line.place), Some(bind.section.title()), "strict-sni".to_owned());
            } else {
                self.present(&bind.line.place, format!("{word} {name}{slash}"));
            }
        } else if let Some(bind) = binds.first() {
            let is_bare = bind.certificates.is_empty() && bind.crt_lists.is_empty() && !bind.is_strict;
            let strict = if is_bare { " strict-sni" } else { "" };
            let place = &bind.line.place;
            self.miss(How::Append, Some(place), Some(bind.section.title()), format!("{word} {name}{slash}{strict}"));
        } else {
            let line = format!("bind :{HTTPS} ssl {word} {name}{slash} strict-sni");
            let proxies =
                || configuration.of(&["frontend", "listen"]).filter(|section| configuration.speaks_http(section));
            // One that redirects to HTTPS would do so for ever.
            let section =
                proxies().find(|section| configuration.redirects(section).is_empty()).or_else(|| proxies().next());
            match section {
                Some(section) => {
                    let place = section.all("bind").last().map_or(&section.place, |bind| &bind.place);
                    self.miss(How::After, Some(place), Some(section.title()), format!("    {line}"));
                }
                None => self.miss(How::End, None, None, format!("frontend https\n    mode http\n    {line}")),
            }
        }
    }

    /// Gives the first `bind` line with TLS another address, and tells whether there is one.
    pub(super) fn takes_place(&mut self, instance: &Instance, address: &str, directory: Option<&str>) -> bool {
        let binds = instance.configuration.binds();
        let is_https = |bind: &&Bind<'_>| bind.has_tls && bind.listen.iter().any(|listen| listen.has_port(HTTPS));
        let Some(bind) = binds.iter().find(is_https).or_else(|| binds.iter().find(|bind| bind.has_tls)) else {
            return false;
        };
        let rest: Vec<String> = bind.line.words.iter().skip(2).map(|word| quoted_word(word)).collect();
        let mut line = format!("bind {address} {}", rest.join(" "));
        let loads =
            |directory: &str| bind.certificates.iter().any(|named| named.name.trim_end_matches('/') == directory);
        if let Some(directory) = directory.filter(|directory| !loads(directory)) {
            line.push_str(&format!(" crt {directory}/"));
        }
        let (place, section) = (bind.line.place.clone(), bind.section.title());
        let lines = printable(&line, LONGEST);
        self.missing.insert(0, Missing { how: How::Replace, place: Some(place), section: Some(section), lines });
        true
    }

    /// Whether the `bind` lines with TLS share session ticket keys.
    pub(super) fn tickets(&mut self, instance: &Instance, file: &str) {
        for bind in instance.configuration.binds().into_iter().filter(|bind| bind.has_tls) {
            let what = format!("tls-ticket-keys {file}");
            match bind.ticket_keys.as_deref() {
                Some(own) if own == file => self.present(&bind.line.place, what),
                _ => self.miss(How::Append, Some(&bind.line.place), Some(bind.section.title()), what),
            }
        }
    }

    /// Whether challenges reach the solver. `lines` are those that a `HAProxy` needs that has none of them.
    pub(super) fn challenges(&mut self, instance: &Instance, solver: &Solver, thumbprint: &str, lines: &str) {
        match &solver.method {
            Method::Http01(via) => self.http01(&instance.configuration, via, thumbprint, lines),
            Method::TlsAlpn01 { listen } => match tls_alpn(&instance.configuration, *listen) {
                Some(line) => self.present(&line.place, format!("handshakes of authorities go to {listen}")),
                None => self.miss(How::End, None, None, lines.trim_end().to_owned()),
            },
            Method::Dns01(_) | Method::DnsPersist01 => {}
        }
    }

    fn http01(&mut self, configuration: &Configuration, via: &Via, thumbprint: &str, lines: &str) {
        let roads = configuration.roads();
        let mut sections = configuration.plain_http(HTTP);
        if sections.is_empty() {
            // Something before it takes port 80.
            for road in &roads {
                if sections.iter().all(|known| known.place != road.section.place) {
                    sections.push(road.section);
                }
            }
        }
        let (rules, more) = split(lines);
        if sections.is_empty() {
            let frontend = format!("frontend hotcert_http\n    mode http\n    bind :80\n{rules}");
            self.miss(How::End, None, None, frontend.trim_end().to_owned());
        }
        let mut needs_more = sections.is_empty();
        for section in sections {
            let mut own = roads.iter().filter(|road| road.section.place == section.place);
            let first = own.clone().next();
            let is_last_word = |line: &Line| line.keyword() == "redirect";
            match own.find(|road| leads(road, via, thumbprint)) {
                // What stands before it takes all.
                Some(road) if first.is_some_and(|first| first.line.place == road.line.place) => {
                    self.present(&road.line.place, "challenges are led to hotcert".to_owned());
                    configuration.redirects(section).into_iter().for_each(|line| self.except(section, line));
                }
                _ => {
                    let at = section.lines.iter().position(|line| DECISIONS.contains(&line.keyword()));
                    let place = match at {
                        Some(0) => &section.place,
                        Some(at) => &section.lines[at - 1].place,
                        None => section.end(),
                    };
                    self.miss(How::After, Some(place), Some(section.title()), rules.trim_end().to_owned());
                    needs_more = true;
                    let forwards = matches!(via, Via::Listener { .. } | Via::Webroot { .. });
                    let late =
                        configuration.redirects(section).into_iter().filter(|line| forwards && is_last_word(line));
                    late.for_each(|line| self.except(section, line));
                }
            }
        }
        if needs_more && !more.is_empty() {
            self.backend(configuration, via, more);
        }
    }

    /// The backend that the rules name.
    fn backend(&mut self, configuration: &Configuration, via: &Via, lines: &str) {
        let known = configuration.of(&["backend"]).find(|section| section.name.as_deref() == Some(BACKEND));
        let Some(section) = known else {
            self.miss(How::End, None, None, lines.trim_end().to_owned());
            return;
        };
        let Via::Listener { listen } = via else { return };
        match section.all("server").next() {
            Some(line) if line.words.get(2).is_some_and(|word| is_at(&Listen::parse(word), *listen)) => {
                self.present(&line.place, format!("backend {BACKEND}"));
            }
            Some(line) => {
                let server = format!("    server hotcert {listen}");
                self.miss(How::Replace, Some(&line.place), Some(section.title()), server);
            }
            None => {
                let server = format!("    server hotcert {listen}");
                self.miss(How::After, Some(section.end()), Some(section.title()), server);
            }
        }
    }

    /// Lets a redirect pass challenges by.
    fn except(&mut self, section: &Section, line: &Line) {
        let condition = line.words.iter().rfind(|word| *word == "if" || *word == "unless").map(String::as_str);
        let words = match condition {
            Some("if") => format!("!{IS_CHALLENGE}"),
            Some(_) => format!("or {IS_CHALLENGE}"),
            None => format!("unless {IS_CHALLENGE}"),
        };
        self.miss(How::Append, Some(&line.place), Some(section.title()), words);
    }

    fn miss(&mut self, how: How, place: Option<&Place>, section: Option<String>, lines: String) {
        self.missing.push(Missing { how, place: place.cloned(), section, lines });
    }

    fn present(&mut self, place: &Place, what: String) {
        self.present.push(Present { place: Some(place.clone()), what });
    }

    /// For a person, who puts it into the files; every line that is no comment is one that is missing.
    pub(super) fn text(&self, configuration: &Configuration) -> String {
        let last = configuration.shown_files().pop().unwrap_or_default();
        let mut out = String::new();
        for missing in &self.missing {
            let place = missing.place.as_ref().map_or_else(|| last.clone(), ToString::to_string);
            let section = missing.section.iter().map(|section| format!(" ({section})")).collect::<String>();
            let head = match missing.how {
                How::After => format!("# After {place}{section}:"),
                How::Append => format!("# At the end of the line {place}{section}:"),
                How::Replace => format!("# Instead of the line {place}{section}:"),
                How::End => format!("# At the end of {place}:"),
            };
            out.push_str(&format!("{head}\n{}\n\n", missing.lines));
        }
        for present in &self.present {
            let place = present.place.iter().map(|place| format!("{place}: ")).collect::<String>();
            out.push_str(&format!("# Already there: {place}{}\n", present.what));
        }
        out
    }
}

/// The rules of the frontend, and the sections after them, without what does not matter once the place is known.
fn split(lines: &str) -> (String, &str) {
    let (rules, more) = lines.split_once("\n\n").unwrap_or((lines, ""));
    let is_said =
        |line: &&str| !line.starts_with("# In the frontend") && !line.trim_start().starts_with("# A line that begins");
    (rules.lines().filter(is_said).map(|line| format!("{line}\n")).collect(), more)
}

/// Whether all that a `bind` line loads are directories in which there is nothing yet: without `strict-sni`, `HAProxy` refuses to start.
fn has_no_certificate(bind: &Bind<'_>, instance: &Instance) -> bool {
    let view = instance.view();
    let is_empty = |named: &Named| {
        let here = named.path.as_deref().and_then(|path| view.here(path).ok());
        here.and_then(|here| here.read_dir().ok()).is_some_and(|mut entries| {
            // HAProxy passes dotfiles by.
            entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().as_bytes().starts_with(b".")))
        })
    };
    bind.crt_lists.is_empty() && bind.certificates.iter().all(is_empty)
}

fn leads(road: &Road<'_>, via: &Via, thumbprint: &str) -> bool {
    let plain = |map: &str| map.trim_start_matches("opt@").trim_start_matches("file@").to_owned();
    match (&road.to, via) {
        (Answerer::Backend { servers, .. }, Via::Listener { listen }) => {
            servers.iter().any(|server| is_at(server, *listen))
        }
        (Answerer::Backend { .. }, Via::Webroot { .. }) => true,
        (Answerer::Map(own), Via::HaproxyMap { map }) => plain(own) == plain(map),
        (Answerer::Thumbprint(own), Via::Stateless) => thumbprint.is_empty() || own == thumbprint,
        _ => false,
    }
}

fn is_at(server: &Listen, listen: SocketAddr) -> bool {
    matches!(server, Listen::Ip { address, first, .. } if *address == listen.ip() && *first == listen.port())
}

/// The rule that passes handshakes of authorities on to hotcert.
fn tls_alpn(configuration: &Configuration, listen: SocketAddr) -> Option<&Line> {
    let protocol = String::from_utf8_lossy(ALPN_PROTOCOL);
    let is_server = |name: &String| {
        let sections = configuration.of(&["backend", "listen"]).filter(|section| section.name.as_ref() == Some(name));
        let mut words = sections.flat_map(|section| section.all("server")).filter_map(|line| line.words.get(2));
        words.any(|word| is_at(&Listen::parse(word), listen))
    };
    let rules = configuration.of(&["frontend", "listen"]).flat_map(|section| section.all("use_backend"));
    rules.into_iter().find(|line| {
        line.words.iter().any(|word| word.contains(&*protocol)) && line.words.get(1).is_some_and(is_server)
    })
}

fn line_at<'a>(configuration: &'a Configuration, place: &Place) -> Option<&'a Line> {
    configuration.sections.iter().flat_map(|section| &section.lines).find(|line| line.place == *place)
}

#[expect(clippy::ref_option, reason = "serde hands it over like that")]
fn as_text<S: Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    match place {
        Some(place) => serializer.collect_str(place),
        None => serializer.serialize_none(),
    }
}
