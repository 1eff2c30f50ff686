//! Which certificates lie in a directory, judged by the names of its files. Pure.
//!
//! | layout | files | name of the certificate |
//! |---|---|---|
//! | pem | `shop.pem` with the key in it | `shop` |
//! | both kinds | `shop.pem.ecdsa` and `shop.pem.rsa`, as `HAProxy` loads them side by side | `shop.ecdsa`, `shop.rsa` |
//! | pair | `shop.crt` (`.pem`, `.cer`) and `shop.key`, or `shop.pem` and `shop.pem.key`, as `HAProxy` looks for keys | `shop` |
//! | certbot, dehydrated | `<name>/fullchain.pem`, `<name>/privkey.pem` | `<name>` |
//! | lego | `<name>.crt`, `<name>.key`; `<name>.issuer.crt` is part of the first | `<name>` |
//! | acme.sh | `<name>/fullchain.cer`, `<name>/*.key` | `<name>`, with `_ecc` where the directory has it |
//! | kubernetes | `<mount>/tls.crt`, `<mount>/tls.key` | `<mount>` |
//!
//! Whether a file holds a certificate at all is seen only by reading it.

use std::collections::BTreeSet;

use crate::config::{Layout, kinds};
use crate::model::{CertName, Invalid, KeyKind};

/// Endings of files with certificates.
const CERTIFICATES: [&str; 3] = ["pem", "crt", "cer"];
/// The ending of files with keys.
const KEY: &str = "key";
/// What stands before the ending of a file that belongs to a certificate and is none: lego's `NAME.issuer.crt`, and what
/// `HAProxy` loads beside a certificate.
const PARTS: [&str; 4] = [".issuer", ".ocsp", ".sctl", ".key"];
/// Levels of directories below a watched one: `/etc/letsencrypt` has two, lego's home one.
const DEEPEST: usize = 3;
/// Directories in which ACME clients keep what is not in use any more.
const ARCHIVES: [&str; 2] = ["archive", "archives"];
/// Certbot's directory of what is in use, where its whole home is watched.
const LIVE: &str = "live";

/// A certificate that lies in a directory of its own: its file, its key, and what lies beside them without being a certificate
/// to serve.
const OWN_DIRECTORY: [(&str, &str, &[&str]); 2] =
    [("fullchain.pem", "privkey.pem", &["cert.pem", "chain.pem"]), ("tls.crt", "tls.key", &["ca.crt"])];
/// The same for acme.sh, which names the key after the certificate.
const ACME_SH: (&str, &str) = ("fullchain.cer", "ca.cer");

/// A certificate, as far as names of files tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// What it is called.
    pub(super) name: Result<CertName, Invalid>,
    /// The file with the certificate.
    pub(super) certificate: String,
    /// The file with the key, when there is one.
    pub(super) key: Option<String>,
}

/// Whether a file can have a part in this.
pub(super) fn is_relevant(name: &str) -> bool {
    // Dotfiles are not yet in their place, for HAProxy as well.
    let has_ending = |(_, end): (&str, &str)| end == KEY || CERTIFICATES.contains(&end);
    !name.starts_with('.') && (name.rsplit_once('.').is_some_and(has_ending) || of_kind(name).is_some())
}

/// What stands before the ending of a file with one of two kinds, and which kind that is.
pub(super) fn of_kind(file: &str) -> Option<(&str, KeyKind)> {
    let (rest, ending) = file.rsplit_once('.')?;
    let kind = KeyKind::ALL.into_iter().find(|kind| kind.as_str() == ending)?;
    Some((rest.strip_suffix(".pem")?, kind))
}

/// Whether certificates are looked for in a directory that lies `depth` levels below the watched one.
pub(super) fn descends(layout: Layout, depth: usize, name: &str) -> bool {
    let deepest = match layout {
        Layout::Auto => DEEPEST,
        Layout::Certbot if name == LIVE => 1,
        Layout::Certbot => 2,
        Layout::Kubernetes => 1,
        Layout::Pem | Layout::Pair => 0,
    };
    depth <= deepest && !name.starts_with('.') && !ARCHIVES.contains(&name)
}

/// The certificates among the files of a directory, which is called `directory`.
pub(super) fn sources(layout: Layout, directory: &str, files: &BTreeSet<&str>) -> Vec<Source> {
    let mut found = Vec::new();
    let mut claimed = BTreeSet::new();
    let present = |name: &str| files.contains(name).then(|| name.to_owned());
    for (certificate, key, beside) in OWN_DIRECTORY {
        let wanted = match layout {
            Layout::Auto | Layout::Pair => true,
            Layout::Certbot => certificate == "fullchain.pem",
            Layout::Kubernetes => certificate == "tls.crt",
            Layout::Pem => false,
        };
        if wanted && files.contains(certificate) {
            claimed.extend([certificate, key].into_iter().chain(beside.iter().copied()).map(str::to_owned));
            // dehydrated keeps each version beside the links to the last.
            claimed.extend(files.iter().filter(|file| is_version(file)).map(|file| (*file).to_owned()));
            found.push(Source { name: directory.parse(), certificate: certificate.to_owned(), key: present(key) });
        }
    }
    if layout == Layout::Auto && files.contains(ACME_SH.0) {
        let plain = directory.strip_suffix("_ecc").unwrap_or(directory);
        let key = present(&format!("{plain}.{KEY}")).or_else(|| only_key(files));
        let stem = key.as_deref().map_or(plain, |key| key.rsplit_once('.').map_or(key, |(stem, _)| stem)).to_owned();
        claimed.extend([ACME_SH.0.to_owned(), ACME_SH.1.to_owned(), format!("{stem}.cer")]);
        claimed.extend(key.clone());
        found.push(Source { name: directory.parse(), certificate: ACME_SH.0.to_owned(), key });
    }
    if matches!(layout, Layout::Auto | Layout::Pem | Layout::Pair) {
        for file in files.iter().filter(|file| !claimed.contains(**file)) {
            if let Some((stem, kind)) = of_kind(file) {
                let name = stem.parse().and_then(|name| kinds::member(&name, kind));
                let key = present(&format!("{file}.{KEY}")).filter(|_| layout != Layout::Pem);
                found.push(Source { name, certificate: (*file).to_owned(), key });
                continue;
            }
            let Some((stem, ending)) = file.rsplit_once('.') else { continue };
            if !CERTIFICATES.contains(&ending) || PARTS.iter().any(|part| stem.ends_with(part)) {
                continue;
            }
            let key = present(&format!("{stem}.{KEY}")).or_else(|| present(&format!("{file}.{KEY}")));
            found.push(Source {
                name: stem.parse(),
                certificate: (*file).to_owned(),
                key: key.filter(|_| layout != Layout::Pem),
            });
        }
    }
    found
}

/// Whether it is one of dehydrated's files with the time of an order in its name, such as `fullchain-1763800000.pem`.
fn is_version(file: &str) -> bool {
    file.strip_suffix(".pem").and_then(|stem| stem.rsplit_once('-')).is_some_and(|(what, time)| {
        ["cert", "chain", "fullchain", "privkey"].contains(&what) && time.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn only_key(files: &BTreeSet<&str>) -> Option<String> {
    let mut keys = files.iter().filter(|file| file.rsplit_once('.').is_some_and(|(_, end)| end == KEY));
    keys.next().filter(|_| keys.next().is_none()).map(|key| (*key).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, as `name: certificate + key`.
    fn found(layout: Layout, directory: &str, files: &[&str]) -> Vec<String> {
        let files: BTreeSet<&str> = files.iter().copied().filter(|name| is_relevant(name)).collect();
        let show = |source: Source| {
            let name = source.name.map_or_else(|_| "?".to_owned(), |name| name.to_string());
            let key = source.key.map(|key| format!(" + {key}")).unwrap_or_default();
            format!("{name}: {}{key}", source.certificate)
        };
        sources(layout, directory, &files).into_iter().map(show).collect()
    }

    fn auto(directory: &str, files: &[&str]) -> Vec<String> {
        found(Layout::Auto, directory, files)
    }

    #[test]
    fn each_layout_is_found_by_itself() {
        let live = ["README", "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"];
        assert_eq!(auto("a.test", &live), ["a.test: fullchain.pem + privkey.pem"]);
        let dehydrated = ["fullchain.pem", "privkey.pem", "fullchain-17.pem", "privkey-17.pem", "cert-17.csr"];
        assert_eq!(auto("a.test", &dehydrated), ["a.test: fullchain.pem + privkey.pem"]);
        assert_eq!(auto("shop", &["..data", "ca.crt", "tls.crt", "tls.key"]), ["shop: tls.crt + tls.key"]);
        let lego = ["a.test.crt", "a.test.issuer.crt", "a.test.json", "a.test.key"];
        assert_eq!(auto("certificates", &lego), ["a.test: a.test.crt + a.test.key"]);
        let acme_sh = ["a.test.cer", "a.test.conf", "a.test.csr", "a.test.key", "ca.cer", "fullchain.cer"];
        assert_eq!(auto("a.test_ecc", &acme_sh), ["a.test_ecc: fullchain.cer + a.test.key"]);
        let kinds = ["a.pem.ecdsa", "a.pem.rsa", "a.pem.rsa.key", "a.pem.rsa.ocsp", "b.rsa", "x.key.pem.rsa"];
        assert_eq!(
            auto("certs", &kinds),
            ["a.ecdsa: a.pem.ecdsa", "a.rsa: a.pem.rsa + a.pem.rsa.key", "?: x.key.pem.rsa"]
        );
        let parts = ["a.pem.ocsp", "a.pem.issuer", "a.pem.sctl", "a.issuer.pem"];
        let haproxy = ["a.pem", "b.crt", "b.crt.key", "c.pem", "c.pem.key", ".d.pem", "crt-list.txt"];
        let haproxy = [haproxy.as_slice(), &parts].concat();
        assert_eq!(auto("certs", &haproxy), ["a: a.pem", "b: b.crt + b.crt.key", "c: c.pem + c.pem.key"]);
    }

    #[test]
    fn a_certificate_waits_for_its_key() {
        assert_eq!(auto("a.test", &["fullchain.pem", "cert.pem"]), ["a.test: fullchain.pem"]);
        assert_eq!(auto("a.test_ecc", &["fullchain.cer", "a.test.cer"]), ["a.test_ecc: fullchain.cer"]);
        assert!(auto("a.test", &["privkey.pem"]).iter().all(|found| found == "privkey: privkey.pem"));
        assert!(auto("a.test", &["a.key"]).is_empty());
    }

    #[test]
    fn a_chosen_layout_finds_nothing_else() {
        let files = ["a.pem", "a.key", "fullchain.pem", "privkey.pem", "tls.crt", "tls.key"];
        assert_eq!(found(Layout::Certbot, "x", &files), ["x: fullchain.pem + privkey.pem"]);
        assert_eq!(found(Layout::Kubernetes, "x", &files), ["x: tls.crt + tls.key"]);
        assert!(found(Layout::Pem, "x", &files).contains(&"a: a.pem".to_owned()));
    }

    #[test]
    fn directories_of_the_past_are_left_out() {
        assert!(descends(Layout::Auto, 1, "live") && descends(Layout::Auto, 2, "a.test"));
        assert!(!descends(Layout::Auto, 1, "archive") && !descends(Layout::Auto, 1, "..2026_11_22"));
        assert!(!descends(Layout::Pem, 1, "sub") && !descends(Layout::Auto, 4, "deep"));
    }
}
