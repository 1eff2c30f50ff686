//! The lines that `HAProxy`'s configuration needs for challenges. Pure text.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::model::{Token, quoted_argument, quoted_word};

/// Who answers challenges, and from what.
#[derive(Debug, Clone, Copy)]
pub enum Via<'a> {
    /// hotcert, at this address.
    Listener(SocketAddr),
    /// `HAProxy`, from this thumbprint of the account's key.
    Stateless(&'a str),
    /// `HAProxy`, from this map: a path, or `virt@name`.
    Map(&'a str),
    /// Another web server, from this directory.
    Webroot(&'a Path),
}

/// From this version on, maps need no file (`virt@`, `opt@`: configuration manual, section 2.7).
const MAPS_WITHOUT_FILE: (u32, u32) = (3, 0);

/// What to put into the frontend on port 80, for a version of `HAProxy`, or for all since 2.6 where it is not known.
///
/// The lines stand on top of the frontend, so that no later `http-request redirect` catches challenges. The old `redirect`
/// lines come after all `http-request` and before all `use_backend` lines, wherever they stand; so they need a condition.
#[must_use]
pub fn haproxy_lines(via: Via<'_>, version: Option<(u32, u32)>) -> String {
    // A comment ends with its line.
    let comment = |text: &str| text.replace(char::is_control, "?");
    let mut out = String::from("# In the frontend on port 80, above every other http-request and use_backend line:\n");
    match via {
        Via::Listener(address) => {
            forward(&mut out);
            let _ = write!(out, "\nbackend hotcert_acme\n    mode http\n    server hotcert {address}\n");
        }
        Via::Webroot(directory) => {
            forward(&mut out);
            let directory = comment(&directory.display().to_string());
            let _ = write!(
                out,
                "\n# The web server that serves {directory} at / (put its address here):\nbackend hotcert_acme\n    mode http\n    server webroot 127.0.0.1:8080\n"
            );
        }
        Via::Stateless(thumbprint) => {
            let _ = writeln!(
                out,
                "    http-request return status 200 content-type text/plain lf-string \"%[path,field(-1,/)].{thumbprint}\" \
                 if {{ path_beg {path} }} {{ path,field(-1,/) -m reg ^[A-Za-z0-9_-]{{16,128}}$ }}",
                path = Token::PATH,
            );
        }
        Via::Map(map) => {
            let without_file = version.is_some_and(|version| version >= MAPS_WITHOUT_FILE);
            let reference = match map.split_once('@') {
                Some(("virt" | "opt" | "file", _)) => map.to_owned(),
                _ if without_file => format!("opt@{map}"),
                _ => map.to_owned(),
            };
            if !without_file && (reference.starts_with("virt@") || reference.starts_with("opt@")) {
                out.push_str("# NOTE: virt@ and opt@ maps need HAProxy 3.0; before, use the path of a file.\n");
            } else if !without_file {
                let _ = writeln!(out, "# The file must exist when HAProxy starts, and may be empty: {}", comment(map));
            }
            let lookup = quoted_word(&format!("path,field(-1,/),map({})", quoted_argument(&reference)));
            // Read once, into a variable: 3.0 refuses a second mention of the same virtual map.
            let _ = write!(
                out,
                "    acl acme_challenge path_beg {path}
    http-request set-var(txn.acme) {lookup} if acme_challenge
    http-request return status 200 content-type text/plain lf-string \"%[var(txn.acme)]\" if acme_challenge {{ var(txn.acme) -m found }}
    http-request return status 404 if acme_challenge
",
                path = Token::PATH,
            );
        }
    }
    out
}

/// `http-request allow` ends the frontend's `http-request` rules for challenges, hence also a redirect among them.
fn forward(out: &mut String) {
    let _ = write!(
        out,
        "    acl acme_challenge path_beg {path}
    http-request allow if acme_challenge
    use_backend hotcert_acme if acme_challenge
    # A line that begins with `redirect` needs in addition: unless acme_challenge
",
        path = Token::PATH
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_a_backend() {
        insta::assert_snapshot!(haproxy_lines(Via::Listener("[::1]:63443".parse().unwrap()), None), @r###"
        # In the frontend on port 80, above every other http-request and use_backend line:
            acl acme_challenge path_beg /.well-known/acme-challenge/
            http-request allow if acme_challenge
            use_backend hotcert_acme if acme_challenge
            # A line that begins with `redirect` needs in addition: unless acme_challenge

        backend hotcert_acme
            mode http
            server hotcert [::1]:63443
        "###);
    }

    #[test]
    fn a_webroot_is_some_other_server() {
        insta::assert_snapshot!(haproxy_lines(Via::Webroot(Path::new("/var/www/a\nb")), None), @r###"
        # In the frontend on port 80, above every other http-request and use_backend line:
            acl acme_challenge path_beg /.well-known/acme-challenge/
            http-request allow if acme_challenge
            use_backend hotcert_acme if acme_challenge
            # A line that begins with `redirect` needs in addition: unless acme_challenge

        # The web server that serves /var/www/a?b at / (put its address here):
        backend hotcert_acme
            mode http
            server webroot 127.0.0.1:8080
        "###);
    }

    #[test]
    fn the_thumbprint_alone_is_enough() {
        insta::assert_snapshot!(haproxy_lines(Via::Stateless("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), Some((2, 6))), @r###"
        # In the frontend on port 80, above every other http-request and use_backend line:
            http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" if { path_beg /.well-known/acme-challenge/ } { path,field(-1,/) -m reg ^[A-Za-z0-9_-]{16,128}$ }
        "###);
    }

    #[test]
    fn a_map_needs_its_file_before_3_0() {
        insta::assert_snapshot!(haproxy_lines(Via::Map("/etc/haproxy/acme map"), None), @r###"
        # In the frontend on port 80, above every other http-request and use_backend line:
        # The file must exist when HAProxy starts, and may be empty: /etc/haproxy/acme map
            acl acme_challenge path_beg /.well-known/acme-challenge/
            http-request set-var(txn.acme) "path,field(-1,/),map(/etc/haproxy/acme map)" if acme_challenge
            http-request return status 200 content-type text/plain lf-string "%[var(txn.acme)]" if acme_challenge { var(txn.acme) -m found }
            http-request return status 404 if acme_challenge
        "###);
        let old = haproxy_lines(Via::Map("/etc/haproxy/acme.map"), Some((2, 8)));
        assert!(old.contains(",map(/etc/haproxy/acme.map)") && old.contains("must exist"), "{old}");
        let new = haproxy_lines(Via::Map("/etc/haproxy/acme.map"), Some((3, 0)));
        assert!(new.contains(",map(opt@/etc/haproxy/acme.map)") && !new.contains("must exist"), "{new}");
        assert!(haproxy_lines(Via::Map("virt@acme"), Some((3, 2))).contains(",map(virt@acme)"));
        assert!(haproxy_lines(Via::Map("virt@acme"), Some((2, 6))).contains("NOTE"));
    }
}
