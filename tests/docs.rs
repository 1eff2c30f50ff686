//! What the documentation says: every command in it is run, and every configuration in it is read, page by page.
//!
//! Each page has a machine of its own, with the paths and the names that the page speaks of, and with the internet as far as
//! it matters: see [`machine`]. What the page shows of an answer must be what is printed: see [`shown`]. What a reader does not
//! see, such as how a disk comes to be full, stands in comments of the page: see [`page`].

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::print_stdout, reason = "what a page does is shown when it fails")]
#![allow(unreachable_pub, reason = "modules of a test, like those of the harness")]

mod support;

#[path = "docs/machine.rs"]
mod machine;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/play.rs"]
mod play;
#[path = "docs/shown.rs"]
mod shown;
#[path = "docs/words.rs"]
mod words;
#[path = "docs/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes a test of each page, so that they are played side by side.
macro_rules! pages {
    ($($test:ident $page:literal)+) => {
        $(#[test] fn $test() { play::enter(stringify!($test), $page); })+

        /// The pages that are played.
        const PAGES: &[&str] = &[$($page),+];
    };
}

pages! {
    readme "README.md"
    accounts "docs/accounts.md"
    adopting "docs/adopting.md"
    authorities "docs/authorities.md"
    behind "docs/behind-an-existing-set-up.md"
    benchmarks "docs/benchmarks/README.md"
    client_certificates "docs/client-certificates.md"
    comparison "docs/comparison.md"
    containers "docs/containers.md"
    crt_lists "docs/crt-lists.md"
    dns "docs/dns.md"
    dns_01 "docs/dns-01.md"
    doctor "docs/doctor.md"
    first_certificate "docs/first-certificate.md"
    events "docs/events.md"
    fleet "docs/fleet.md"
    from_a_cron_job "docs/from-a-cron-job.md"
    from_acme_sh "docs/from-acme.sh.md"
    from_certbot "docs/from-certbot.md"
    hooks "docs/hooks.md"
    http_01 "docs/http-01.md"
    import "docs/import.md"
    index "docs/README.md"
    internal "docs/internal.md"
    kubernetes "docs/kubernetes.md"
    many_certificates "docs/many-certificates.md"
    monitoring "docs/monitoring.md"
    other_paths "docs/other-paths.md"
    packages "docs/packages.md"
    proof "docs/proof.md"
    recovering "docs/recovering.md"
    security_model "docs/security-model.md"
    stapling "docs/stapling.md"
    status_page "docs/status-page.md"
    systemd "docs/systemd.md"
    tickets "docs/tickets.md"
    tls_alpn_01 "docs/tls-alpn-01.md"
    tls_nodes "docs/tls-nodes.md"
    two_keys "docs/two-keys.md"
    workers "docs/workers.md"
}

/// Commands that are not run, by their beginning, and why. For the rest of them see the stand-ins in `tests/docs/programs`.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo build", "takes minutes; that it builds is what all other tests show"),
    ("./scripts/", "each is a step of CI of its own"),
    ("podman", "`scripts/package --test containers` builds the image and plays the examples, in minutes"),
    ("cd docs/examples", "the same"),
    ("kubectl ", "there is no cluster"),
    ("apt install", "`scripts/package --test` installs the packages, in throw-away roots"),
    ("ssh ", "needs another machine"),
    ("acme.sh ", "is in no package; `tests/e2e/hooks.rs` gives the hook what acme.sh gives it"),
    ("openssl ocsp", "asks a responder of an authority; `tests/e2e/staples.rs` makes responses"),
];

/// What a page begins with that has no comments for this test.
const PRELUDES: &[(&str, &str)] = &[("README.md", "prepare haproxy")];

#[test]
fn every_page_is_played() {
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(repository().join(&directory)).unwrap().flatten() {
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    let played: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(found, played, "found on disk, and listed above");
}

#[test]
fn the_index_leads_to_every_page() {
    let links = page::links(&text("docs/README.md"));
    for page in PAGES.iter().filter_map(|page| page.strip_prefix("docs/")).filter(|page| *page != "README.md") {
        assert!(links.iter().any(|link| link == page), "docs/README.md lacks {page}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in PAGES {
        for link in page::links(&text(page)) {
            let (file, section) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { PathBuf::from(page) } else { Path::new(page).with_file_name(file) };
            let path = repository().join(&target);
            assert!(path.exists(), "{page} links to {link}, which does not exist");
            if !section.is_empty() {
                let sections = page::sections(&fs::read_to_string(&path).unwrap());
                assert!(sections.contains(section), "{page} links to {link}; the sections there: {sections:?}");
            }
        }
    }
}

#[test]
fn commands_in_the_text_exist_with_their_flags() {
    for page in PAGES {
        for code in page::inline_code(&text(page)) {
            words::check(page, &code);
        }
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(page: &str) -> String {
    fs::read_to_string(repository().join(page)).unwrap()
}
