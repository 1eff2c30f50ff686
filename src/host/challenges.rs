//! The roads that http-01 challenges take through `HAProxy`, as far as they stand in its configuration.

use std::collections::BTreeSet;

use super::address::Listen;
use super::bind::Bind;
use super::configuration::{Configuration, Line, Place, Section};

/// Where an authority asks (RFC 8555, section 8.3), without the last slash, which not everybody writes.
const PATH: &str = "/.well-known/acme-challenge";
/// The port at which it does.
pub const HTTP: u16 = 80;
/// Actions of `http-request` that end its rules, so that none after them sees a challenge.
const FINAL: [&str; 4] = ["allow", "return", "use-service", "deny"];

/// A rule that leads challenges somewhere.
#[derive(Debug, Clone)]
pub struct Road<'a> {
    /// The proxy.
    pub section: &'a Section,
    /// The rule.
    pub line: &'a Line,
    /// Where it leads.
    pub to: Answerer,
}

/// Who answers challenges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answerer {
    /// Servers of a backend.
    Backend {
        /// Its name.
        name: String,
        /// Where its servers are reached.
        servers: Vec<Listen>,
    },
    /// `HAProxy` itself, from the thumbprint of an account.
    Thumbprint(String),
    /// `HAProxy` itself, from this map.
    Map(String),
    /// `HAProxy` itself, in another way.
    Other,
}

impl Configuration {
    /// The proxies that speak plain HTTP on a port.
    #[must_use]
    pub fn plain_http(&self, port: u16) -> Vec<&Section> {
        let is_there = |bind: &Bind<'_>| !bind.has_tls && bind.listen.iter().any(|listen| listen.has_port(port));
        let mut sections: Vec<&Section> = Vec::new();
        for bind in self.binds().into_iter().filter(is_there).filter(|bind| self.speaks_http(bind.section)) {
            if sections.last().is_none_or(|last| last.place != bind.section.place) {
                sections.push(bind.section);
            }
        }
        sections
    }

    /// The roads of challenges that come to proxies of plain HTTP, in order.
    #[must_use]
    pub fn roads(&self) -> Vec<Road<'_>> {
        let plain: BTreeSet<&Place> =
            self.binds().iter().filter(|bind| !bind.has_tls).map(|bind| &bind.section.place).collect();
        let has_plain = |section: &Section| plain.contains(&section.place) && self.speaks_http(section);
        let mut out = Vec::new();
        for section in self.of(&["frontend", "listen"]).filter(|section| has_plain(section)) {
            let names = self.acls(section);
            let mut map = None;
            for line in section.lines.iter().filter(|line| mentions(line, &names) == Some(true)) {
                let to = match (line.keyword(), line.words.get(1).map(String::as_str)) {
                    ("use_backend", Some(name)) => self.backend(name),
                    ("http-request", Some("return")) => match map.take() {
                        Some(map) => Answerer::Map(map),
                        None => returned(line),
                    },
                    ("http-request", Some("use-service")) => Answerer::Other,
                    ("http-request", Some(set)) if set.starts_with("set-var(") => {
                        map = line.words.iter().find_map(|word| map_of(word)).or(map);
                        continue;
                    }
                    _ => continue,
                };
                out.push(Road { section, line, to });
            }
        }
        out
    }

    /// The redirects that catch challenges in a proxy. Those that begin with `redirect` come after all `http-request` rules and
    /// before all `use_backend` rules, wherever they stand (configuration manual, `redirect`).
    #[must_use]
    pub fn redirects<'a>(&self, section: &'a Section) -> Vec<&'a Line> {
        let names = self.acls(section);
        let (mut out, mut is_allowed, mut is_answered) = (Vec::new(), false, false);
        for line in &section.lines {
            let mention = mentions(line, &names);
            let action = line.words.get(1).map(String::as_str).unwrap_or_default();
            let is_rule = line.keyword() == "http-request";
            if is_rule && mention == Some(true) && FINAL.contains(&action) {
                is_allowed = true;
                is_answered |= action != "allow";
            }
            let catches = mention != Some(false)
                && match line.keyword() {
                    "redirect" => true,
                    "http-request" => action == "redirect" && !is_allowed,
                    _ => false,
                };
            if catches {
                out.push(line);
            }
        }
        // What has been answered is not redirected.
        out.retain(|line| line.keyword() != "redirect" || !is_answered);
        out
    }

    /// The names of conditions that are true for challenges.
    fn acls<'a>(&'a self, section: &'a Section) -> BTreeSet<&'a str> {
        let defaults = section.defaults.and_then(|index| self.sections.get(index));
        let lines = defaults.into_iter().chain([section]).flat_map(|section| section.all("acl"));
        lines
            .filter(|line| line.words.iter().skip(2).any(|word| word.contains(PATH)))
            .filter_map(|line| line.words.get(1).map(String::as_str))
            .collect()
    }

    fn backend(&self, name: &str) -> Answerer {
        let sections = self.of(&["backend", "listen"]).filter(|section| section.name.as_deref() == Some(name));
        let servers = sections.flat_map(|section| section.all("server"));
        let servers = servers.filter_map(|line| line.words.get(2)).map(|word| Listen::parse(word)).collect();
        Answerer::Backend { name: name.to_owned(), servers }
    }
}

/// Whether a line's condition is about challenges: `Some(true)` when it is for them, `Some(false)` when it is for all others.
fn mentions(line: &Line, names: &BTreeSet<&str>) -> Option<bool> {
    let at = line.words.iter().rposition(|word| word == "if" || word == "unless")?;
    let is_if = line.words[at] == "if";
    let mut is_negated = false;
    for word in &line.words[at + 1..] {
        let (negated, word) = word.strip_prefix('!').map_or((is_negated, word.as_str()), |word| (!is_negated, word));
        if names.contains(word) || word.contains(PATH) {
            return Some(is_if != negated);
        }
        // `! name` and `!{ path_beg … }` negate what follows.
        is_negated = negated && (word.is_empty() || word == "{" || is_negated);
        if word == "}" {
            is_negated = false;
        }
    }
    None
}

fn returned(line: &Line) -> Answerer {
    let format = line.after("lf-string").unwrap_or_default();
    if let Some(map) = map_of(format) {
        return Answerer::Map(map);
    }
    match format.rsplit_once("].") {
        Some((_, thumbprint)) if !thumbprint.is_empty() && !thumbprint.contains(['%', '[']) => {
            Answerer::Thumbprint(thumbprint.to_owned())
        }
        _ => Answerer::Other,
    }
}

/// The map that an expression looks into.
fn map_of(expression: &str) -> Option<String> {
    let (before, rest) = expression.split_once("map")?;
    let rest = rest.strip_prefix("_str").unwrap_or(rest).strip_prefix('(')?;
    let end = rest.find([')', ','])?;
    before.ends_with([',', '[', '(']).then(|| rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::words::Variables;
    use super::*;

    fn parse(rules: &str) -> Configuration {
        let text = format!(
            "defaults\n mode http\nfrontend web\n bind :80\n{rules}\nbackend hotcert_acme\n server hotcert 127.0.0.1:63443\n"
        );
        Configuration::parse(&[(PathBuf::from("/h.cfg"), text.into_bytes())], None, Variables::default())
    }

    fn roads(rules: &str) -> Vec<Answerer> {
        parse(rules).roads().into_iter().map(|road| road.to).collect()
    }

    fn redirects(rules: &str) -> usize {
        let parsed = parse(rules);
        parsed.redirects(parsed.plain_http(HTTP)[0]).len()
    }

    #[test]
    fn roads_are_found_however_they_are_written() {
        let backend =
            Answerer::Backend { name: "hotcert_acme".to_owned(), servers: vec![Listen::parse("127.0.0.1:63443")] };
        for rules in [
            "acl a path_beg /.well-known/acme-challenge/\nuse_backend hotcert_acme if a",
            "acl a path -m beg /.well-known/acme-challenge\nuse_backend hotcert_acme if METH_GET a",
            "use_backend hotcert_acme if { path_beg /.well-known/acme-challenge/ }",
            "use_backend hotcert_acme if !{ ssl_fc } { path_beg /.well-known/acme-challenge/ }",
        ] {
            assert_eq!(roads(rules), std::slice::from_ref(&backend), "{rules}");
        }
        assert_eq!(roads("acl a path_beg /.well-known/acme-challenge/\nuse_backend hotcert_acme unless a"), []);
        assert_eq!(roads("use_backend hotcert_acme if !{ path_beg /.well-known/acme-challenge/ }"), []);
        assert_eq!(roads("use_backend hotcert_acme if { path_beg /.well-known/other }"), []);
        let stateless = "http-request return status 200 content-type text/plain lf-string \"%[path,field(-1,/)].abc\" if { path_beg /.well-known/acme-challenge/ } { path,field(-1,/) -m reg ^[A-Za-z0-9_-]{16,128}$ }";
        assert_eq!(roads(stateless), [Answerer::Thumbprint("abc".to_owned())]);
        let map = "acl a path_beg /.well-known/acme-challenge/\nhttp-request set-var(txn.acme) path,field(-1,/),map(virt@acme) if a\nhttp-request return status 200 content-type text/plain lf-string \"%[var(txn.acme)]\" if a { var(txn.acme) -m found }";
        assert_eq!(roads(map), [Answerer::Map("virt@acme".to_owned())]);
        let lua = "http-request use-service lua.acme if { path_beg /.well-known/acme-challenge/ }";
        assert_eq!(roads(lua), [Answerer::Other]);
    }

    #[test]
    fn redirects_catch_challenges_unless_they_are_excepted_or_come_too_late() {
        let acl = "acl a path_beg /.well-known/acme-challenge/\n";
        for (rules, expected) in [
            ("http-request redirect scheme https unless { ssl_fc }", 1),
            ("redirect scheme https if !{ ssl_fc }", 1),
            ("http-request redirect scheme https unless a", 0),
            ("redirect scheme https if !a", 0),
            ("http-request allow if a\nhttp-request redirect scheme https", 0),
            ("http-request allow if a\nredirect scheme https", 1),
            ("http-request return status 200 if a\nredirect scheme https", 0),
            ("http-request redirect scheme https\nhttp-request allow if a", 1),
        ] {
            assert_eq!(redirects(&format!("{acl}{rules}")), expected, "{rules}");
        }
    }
}
