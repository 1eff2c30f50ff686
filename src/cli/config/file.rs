//! The configuration file that `config init` writes: with comments, and such that it loads as it is.

use std::path::Path;

use crate::config::{DEFAULT_STATE_DIR, Issuer, Method, Solver, Via};
use crate::model::{DirectoryUrl, printable};

use super::Advice;
use super::draft::Draft;

/// Characters of a comment.
const SHOWN: usize = 400;

/// Everything that goes into it.
pub(super) struct Contents<'a> {
    pub(super) state_dir: Option<&'a Path>,
    pub(super) issuer: &'a Issuer,
    pub(super) solver: &'a Solver,
    pub(super) nodes: &'a [Draft],
    /// What is to be told about the solver.
    pub(super) notes: &'a [Advice],
}

/// Writes it down.
pub(super) fn text(contents: &Contents<'_>) -> String {
    let mut out = String::from(
        "# The configuration of hotcert, as `hotcert config init` wrote it from what it found.\n\
         # `hotcert config check` checks it, `hotcert config haproxy` prints what is missing in HAProxy's configuration.\n\
         version = 1\n\n\
         # Accounts, keys and all generations of certificates; for hotcert's user alone.\n",
    );
    match contents.state_dir {
        Some(directory) => line(&mut out, "state_dir", &quoted(&directory.display().to_string())),
        None => out.push_str(&format!("# state_dir = {}\n", quoted(DEFAULT_STATE_DIR))),
    }
    issuer(&mut out, contents.issuer);
    solver(&mut out, contents.solver, contents.notes);
    for draft in contents.nodes {
        node(&mut out, draft);
    }
    out.push_str(
        "\n# Certificates that `hotcert run` and `hotcert renew` order by themselves. What `hotcert issue NAME` orders is remembered without.\n\
         # [[certificate]]\n# domains = [\"example.org\", \"www.example.org\"]\n",
    );
    out
}

fn issuer(out: &mut String, issuer: &Issuer) {
    let Some(directory) = &issuer.directory else { return };
    let name = directory.short();
    let table = if name.contains(':') { "authority" } else { name };
    out.push_str(&format!("\n# Who issues certificates.\n[issuer.{table}]\n"));
    line(out, "directory", &quoted(name));
    if issuer.contact.is_empty() {
        out.push_str("# Where the authority writes to; some want one.\n# contact = [\"admin@example.org\"]\n");
    } else {
        line(out, "contact", &list(&issuer.contact));
    }
    if !issuer.terms_agreed {
        let terms =
            if *directory == DirectoryUrl::letsencrypt() { ", https://letsencrypt.org/repository/" } else { "" };
        out.push_str(&format!(
            "# Read the authority's terms of service{terms}; true says that you agree. `--agree-terms` says it for one command.\n"
        ));
    }
    line(out, "terms_agreed", if issuer.terms_agreed { "true" } else { "false" });
    if let Some(root_ca) = &issuer.root_ca {
        line(out, "root_ca", &quoted(&root_ca.display().to_string()));
    }
    if let Some(profile) = &issuer.profile {
        line(out, "profile", &quoted(profile));
    }
    if let Some(eab) = &issuer.eab {
        let file = quoted(&eab.hmac_key_file.display().to_string());
        line(out, "eab", &format!("{{ kid = {}, hmac_key_file = {file} }}", quoted(&eab.kid)));
    }
}

fn solver(out: &mut String, solver: &Solver, notes: &[Advice]) {
    out.push_str("\n# How the authority's challenges are answered.\n");
    for note in notes {
        comment(out, note);
    }
    match &solver.method {
        Method::TlsAlpn01 { listen } => {
            out.push_str("[solver.tls]\ntype = \"tls-alpn-01\"\n# HAProxy passes handshakes of the authority on to hotcert here.\n");
            line(out, "listen", &quoted(&listen.to_string()));
        }
        Method::Http01(via) => {
            out.push_str("[solver.http]\ntype = \"http-01\"\n");
            match via {
                Via::Listener { listen } => {
                    out.push_str("# HAProxy leads /.well-known/acme-challenge/ to hotcert, which listens here while it orders.\n");
                    line(out, "via", &quoted("listener"));
                    line(out, "listen", &quoted(&listen.to_string()));
                }
                Via::Stateless => line(out, "via", &quoted("stateless")),
                Via::HaproxyMap { map } => {
                    line(out, "via", &quoted("haproxy-map"));
                    line(out, "map", &quoted(map));
                }
                Via::Webroot { path } => {
                    line(out, "via", &quoted("webroot"));
                    line(out, "path", &quoted(&path.display().to_string()));
                }
            }
        }
        Method::Dns01(_) | Method::DnsPersist01 => {}
    }
    if let Some(probe) = &solver.probe {
        line(out, "probe", &quoted(&probe.to_string()));
    }
}

fn node(out: &mut String, draft: &Draft) {
    let facts = &draft.haproxy;
    let mut what = format!("HAProxy {}", facts.version.as_deref().unwrap_or("of an unknown version"));
    if let Some(pid) = facts.pid {
        what.push_str(&format!(", process {pid}"));
    }
    if !facts.files.is_empty() {
        what.push_str(&format!(", configured by {}", facts.files.join(", ")));
    }
    out.push_str(&format!("\n# {}\n", printable(&what, SHOWN)));
    for note in &draft.notes {
        comment(out, note);
    }
    // A dot would begin another table.
    let name = draft.name.as_str();
    let name = if name.contains('.') { quoted(name) } else { name.to_owned() };
    out.push_str(&format!("[haproxy.{name}]\n"));
    if let Some(socket) = &draft.socket {
        line(out, "socket", &quoted(&socket.to_string()));
    }
    if let Some(master) = &draft.master {
        out.push_str("# The master's socket: it reaches old workers too.\n");
        line(out, "master", &quoted(master.to_string().trim_start_matches("master@")));
    }
    out.push_str("# Files for HAProxy's next start are written here.\n");
    line(out, "crt_dir", &quoted(&draft.crt_dir.display().to_string()));
    if let Some(directory) = &draft.haproxy_crt_dir {
        out.push_str("# The same directory, as HAProxy names it.\n");
        line(out, "haproxy_crt_dir", &quoted(directory));
    }
    if let Some(list) = &draft.crt_list {
        out.push_str("# New certificates are added to this crt-list.\n");
        line(out, "crt_list", &quoted(list));
    }
    if draft.verify.is_empty() {
        out.push_str("# Where to shake hands to prove what is served.\n# verify = [\"127.0.0.1:443\"]\n");
    } else {
        out.push_str("# Where a handshake proves what is served.\n");
        line(out, "verify", &list(&draft.verify));
    }
    if let Some(group) = &draft.group {
        out.push_str("# HAProxy reads the files as this group.\n");
        line(out, "group", &quoted(group));
    }
    if let Some(mode) = draft.mode {
        line(out, "mode", &quoted(mode));
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    out.push_str(&format!("{key} = {value}\n"));
}

/// What is unclear stands where it is to be made clear.
fn comment(out: &mut String, note: &Advice) {
    out.push_str(&format!("# NOTE: {}\n", printable(&note.what, SHOWN)));
    if let Some(cure) = &note.cure {
        out.push_str(&format!("#       {}\n", printable(cure, SHOWN)));
    }
}

fn list(items: &[impl ToString]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(&item.to_string())).collect::<Vec<_>>().join(", "))
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
