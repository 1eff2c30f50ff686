//! The listener, the thumbprint in HAProxy's configuration, and a web server's directory.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use super::{NEW, OLD};
use crate::support::{Haproxy, HaproxyVersion, Http01, Pebble, PebbleVersion, Site};

/// The flags of an order without those that say how challenges are answered.
fn authority_flags(site: &Site) -> Vec<OsString> {
    let mut flags: Vec<OsString> = vec!["--agree-terms".into()];
    let mut flag = |flag: &str, value: OsString| flags.extend([flag.into(), value]);
    flag("--directory", site.pebble.directory().into());
    flag("--root-ca", site.pebble.root_ca().into());
    flag("--contact", "admin@example.org".into());
    flag("--http-01-probe", site.haproxy.http_addr().to_string().into());
    flags
}

/// Serves the files of a directory, as far as challenges need it.
fn serve_directory(addr: SocketAddr, directory: PathBuf) {
    let listener = TcpListener::bind(addr).unwrap();
    // It ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let response = match fs::read_to_string(directory.join(path)) {
                Ok(body) => {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                }
                Err(_) => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(response.as_bytes());
        }
    });
}

fn a_webroot_answers((haproxy, pebble): (HaproxyVersion, PebbleVersion)) {
    let site = Site::with(Haproxy::new(haproxy), Pebble::new(pebble));
    let webroot = site.hotcert.scratch().dir("www");
    let issue = |webroot: &PathBuf| {
        let names = ["issue", "shop.test", "www.shop.test", "--json"].map(OsString::from);
        let webroot: [OsString; 2] = ["--webroot".into(), webroot.into()];
        site.hotcert.run(names.into_iter().chain(site.node_flags()).chain(authority_flags(&site)).chain(webroot))
    };

    // Nothing serves it yet, then something serves another directory: both are found before an order is spent.
    let misrouted = issue(&webroot).expect_code(1);
    assert_eq!(misrouted.json()["error"]["kind"], "preflight", "{misrouted:?}");
    serve_directory(site.haproxy.acme_addr(), webroot.clone());
    let elsewhere = site.hotcert.scratch().dir("elsewhere");
    assert_eq!(issue(&elsewhere).expect_code(1).json()["error"]["kind"], "preflight");
    assert_eq!(site.pebble.orders(), 0);

    let issued = issue(&webroot).expect_code(0).json();
    assert_eq!(site.serial("www.shop.test").ok().as_deref(), issued["certificates"][0]["serial"].as_str());
    for directory in [webroot, elsewhere] {
        let challenges = directory.join(".well-known/acme-challenge");
        assert_eq!(fs::read_dir(challenges).unwrap().count(), 0, "challenges are left behind");
    }
    site.expect_nothing_half_done();
}

#[test]
fn a_webroot_answers_old_servers() {
    a_webroot_answers(OLD);
}

#[test]
fn a_webroot_answers_new_servers() {
    a_webroot_answers(NEW);
}

fn the_printed_thumbprint_answers((haproxy, pebble): (HaproxyVersion, PebbleVersion)) {
    let wrong = Http01::Stateless("of-another-account".to_owned());
    let mut site = Site::answering(wrong, Haproxy::new(haproxy), Pebble::new(pebble));
    let misrouted = site.issue(&["shop.test", "--json"]).expect_code(1);
    let error = &misrouted.json()["error"];
    assert_eq!(error["kind"], "preflight", "{misrouted:?}");
    assert_eq!((site.pebble.orders(), site.pebble.accounts()), (0, 0));

    // The hint has the lines with the right thumbprint, and so has `config haproxy`, before the authority has heard of us.
    let lines = ["config", "haproxy", "--http-01-stateless"].map(OsString::from);
    let state_dir: [OsString; 2] = ["--state-dir".into(), site.hotcert.state_dir().into()];
    let lines =
        site.hotcert.run(lines.into_iter().chain(state_dir).chain(authority_flags(&site))).expect_code(0).stdout;
    let line = lines.lines().find(|line| line.contains("lf-string")).unwrap();
    assert!(error["hint"].as_str().unwrap().contains(line), "{misrouted:?}");

    let config = site.haproxy.scratch().read("haproxy.cfg");
    let config: Vec<_> = config.lines().map(|old| if old.contains("lf-string") { line } else { old }).collect();
    site.haproxy.scratch().write("haproxy.cfg", config.join("\n") + "\n");
    site.haproxy.reload();
    site.issue(&["shop.test"]).expect_code(0);
    assert!(site.serial("shop.test").is_ok());
    site.expect_nothing_half_done();
}

#[test]
fn the_printed_thumbprint_answers_old_servers() {
    the_printed_thumbprint_answers(OLD);
}

#[test]
fn the_printed_thumbprint_answers_new_servers() {
    the_printed_thumbprint_answers(NEW);
}

/// The port that HAProxy routes to is taken: nothing is ordered, and the message says where.
#[test]
fn a_listener_whose_port_is_taken_orders_nothing() {
    let site = Site::new(OLD.0, OLD.1);
    let taken = TcpListener::bind(site.haproxy.acme_addr()).unwrap();
    let issue = site.issue(&["shop.test", "--json"]).expect_code(1);
    assert_eq!(issue.json()["error"]["kind"], "solver", "{issue:?}");
    assert!(issue.stderr.contains(&site.haproxy.acme_addr().to_string()), "{issue:?}");
    assert_eq!(site.pebble.orders(), 0);
    drop(taken);
    site.issue(&["shop.test"]).expect_code(0);
}
