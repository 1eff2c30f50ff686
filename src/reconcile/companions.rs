//! What lies beside the published file of a certificate, and belongs to it: `.ocsp`, `.issuer` and `.sctl` files.
//!
//! Somebody else writes them; `HAProxy` reads them when it starts (configuration manual, section 5.1, `crt`), and drops what it has
//! read of them when the certificate is replaced. So what is there and belongs to the certificate goes into the same transaction.
//! What is wrong with a file never holds up its certificate, with one exception: `HAProxy` (seen on 2.6.12, 2.8.25, 3.0.11 and
//! 3.2.26) frees the timestamps of a `.sctl` file twice when the certificate that it loaded with them is replaced, and dies of that
//! at once or soon. Such a certificate is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::report::Problem;
use crate::bundle::{OcspFlaw, OcspIssuer, OcspResponse};
use crate::haproxy::{Info, Part, TooLarge};
use crate::model::{CertName, Facts, NodeName, Slot, Staple};
use crate::store::{self, publish};

/// The endings of such files.
const RESPONSE: &str = ".ocsp";
const ISSUER: &str = ".issuer";
const TIMESTAMPS: &str = ".sctl";

/// What lies beside the file of one certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Companions {
    response: Option<Response>,
    /// The issuer, where the chain does not have it.
    issuer: Option<OcspIssuer>,
    /// The signed certificate timestamps that `HAProxy` may have loaded.
    pub(super) timestamps: Option<PathBuf>,
    /// What is well and still not used, in words.
    pub(super) notice: Option<String>,
    flaws: Vec<(PathBuf, Flaw)>,
}

/// A response that is to be stapled.
#[derive(Debug, Clone)]
struct Response {
    file: PathBuf,
    contents: OcspResponse,
    staple: Staple,
}

/// What is wrong with a file beside a certificate.
#[derive(Debug, Clone, thiserror::Error)]
enum Flaw {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it cannot be stapled: {0}")]
    Response(OcspFlaw),
    #[error("it cannot be stapled: {0}")]
    TooLarge(TooLarge),
    #[error(
        "it cannot be stapled: neither the chain of the certificate nor a file {0} has the issuer, and HAProxy does not start without"
    )]
    NoIssuer(String),
    #[error("HAProxy does not start with it: {0}")]
    Issuer(OcspFlaw),
    #[error("HAProxy does not start with it: it is not a list of signed certificate timestamps")]
    NotTimestamps,
    #[error(
        "HAProxy crashes when a certificate is replaced that it has loaded with such a file, so this one is not replaced"
    )]
    Timestamps,
}

impl Flaw {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Response(OcspFlaw::Malformed) => {
                "write it as the responder sends it: in DER, neither in PEM nor in base64".to_owned()
            }
            Self::Response(OcspFlaw::Expired(_) | OcspFlaw::Unsuccessful(_)) => {
                "let the program that fetches responses fetch another one".to_owned()
            }
            Self::Response(OcspFlaw::Revoked) => "replace the certificate".to_owned(),
            Self::TooLarge(limit) => limit.hint(),
            Self::NoIssuer(_) => "put the certificate of the issuer there, or take the response away".to_owned(),
            Self::Issuer(_) => "replace it by the certificate of the issuer, or take it away".to_owned(),
            Self::NotTimestamps => "take it away".to_owned(),
            Self::Timestamps => TIMESTAMPS_HINT.to_owned(),
            Self::Unreadable(_) | Self::Response(_) => return None,
        })
    }
}

/// The order matters: a file that is taken away first is loaded all the same, and hotcert cannot see that.
pub(super) const TIMESTAMPS_HINT: &str = "add `ssl-load-extra-files bundle ocsp issuer key` to the global section of HAProxy's configuration, reload it, and take the file away then; authorities embed such timestamps in the certificate itself";

/// The directories of published files, each listed at most once for a look: most files have no companions.
#[derive(Default)]
pub(crate) struct Directories(BTreeMap<PathBuf, BTreeSet<OsString>>);

impl Directories {
    /// What lies beside a file; `None` when there is nothing.
    pub(super) fn beside(&mut self, file: &Path, facts: &Facts, now: Timestamp) -> Option<Companions> {
        let (directory, name) = (file.parent()?, file.file_name()?);
        let listed = self.0.entry(directory.to_owned()).or_insert_with(|| list(directory));
        let ending = |ending: &str| [name, OsStr::new(ending)].iter().copied().collect::<OsString>();
        let has = |wanted: &str| listed.contains(&ending(wanted)).then(|| directory.join(ending(wanted)));
        let (response, issuer, timestamps) = (has(RESPONSE), has(ISSUER), has(TIMESTAMPS));
        if response.is_none() && timestamps.is_none() {
            // HAProxy looks for the issuer only because of a response.
            return None;
        }
        let mut found = Companions::default();
        if let Some(response) = response {
            found.take_response(response, issuer, &directory.join(ending(ISSUER)), facts, now);
        }
        if let Some(timestamps) = timestamps {
            found.take_timestamps(timestamps);
        }
        Some(found)
    }
}

/// The signed certificate timestamps beside a file.
pub(super) fn timestamps(file: &Path) -> Option<PathBuf> {
    let beside: PathBuf = [file.as_os_str(), OsStr::new(TIMESTAMPS)].into_iter().collect::<OsString>().into();
    beside.exists().then_some(beside)
}

/// The names of all companions in a directory. One that cannot be read has none.
pub(crate) fn list(directory: &Path) -> BTreeSet<OsString> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_companion = |name: &OsString| {
        let name = name.as_encoded_bytes();
        !name.starts_with(b".") && [RESPONSE, ISSUER, TIMESTAMPS].iter().any(|ending| name.ends_with(ending.as_bytes()))
    };
    names.filter(is_companion).collect()
}

impl Companions {
    fn take_response(
        &mut self,
        file: PathBuf,
        issuer: Option<PathBuf>,
        issuer_file: &Path,
        facts: &Facts,
        now: Timestamp,
    ) {
        let issuer =
            issuer.and_then(|file| match read(&file, |pem| OcspIssuer::read(pem, facts).map_err(Flaw::Issuer)) {
                Ok(issuer) => issuer,
                Err(flaw) => {
                    self.flaws.push((file, flaw));
                    None
                }
            });
        let has_issuer = facts.chain_length > 0 || issuer.is_some();
        let response = read(&file, |der| match der {
            // It tells HAProxy to expect one.
            [] => Ok(None),
            der => OcspResponse::read(der).map(Some).map_err(Flaw::Response),
        });
        match response.map(Option::flatten) {
            Ok(_) if !has_issuer => self.flaws.push((file, Flaw::NoIssuer(issuer_file.display().to_string()))),
            Ok(None) => {}
            Ok(Some(response)) if !response.is_about(&facts.serial) => {
                self.notice = Some(format!(
                    "the OCSP response {} is not stapled: it is about another certificate, with serial {}",
                    file.display(),
                    response.serial()
                ));
            }
            Ok(Some(response)) => match response.usable(now) {
                Ok(staple) => self.response = Some(Response { file, contents: response, staple }),
                Err(flaw) => self.flaws.push((file, Flaw::Response(flaw))),
            },
            Err(flaw) => self.flaws.push((file, flaw)),
        }
        self.issuer = issuer.filter(|_| facts.chain_length == 0);
    }

    fn take_timestamps(&mut self, file: PathBuf) {
        let flaw = match read(&file, |list| Ok(is_timestamps(list))) {
            Ok(None) => return,
            Ok(Some(true)) => Flaw::Timestamps,
            Ok(Some(false)) => Flaw::NotTimestamps,
            Err(flaw) => flaw,
        };
        self.flaws.push((file.clone(), flaw));
        self.timestamps = Some(file);
    }

    /// How fresh the response is that is at hand, and can be loaded.
    pub(super) fn staple(&self) -> Option<Staple> {
        self.response.as_ref().filter(|_| self.timestamps.is_none()).map(|response| response.staple)
    }

    /// What goes into the transaction of the certificate, in this order: without its issuer, a response would let it fail.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let Some(Response { contents, .. }) = &self.response else { return Vec::new() };
        self.issuer.iter().map(Part::Issuer).chain([Part::Response(contents)]).collect()
    }

    /// Leaves out what a worker would not take for a slot.
    pub(super) fn fit(&mut self, info: &Info, slot: &Slot) {
        let too_large = self.parts().into_iter().find_map(|part| info.fits_part(slot, part).err());
        if let Some(limit) = too_large
            && let Some(Response { file, .. }) = self.response.take()
        {
            self.flaws.push((file, Flaw::TooLarge(limit)));
        }
    }

    /// What is wrong with the files, as a part of a report.
    pub(super) fn problems(&self, certificate: &CertName, node: &NodeName) -> impl Iterator<Item = Problem> {
        self.flaws.iter().map(|(file, flaw)| Problem {
            certificate: Some(certificate.clone()),
            node: Some(node.clone()),
            file: Some(file.clone()),
            message: flaw.to_string(),
            hint: flaw.hint(),
        })
    }
}

/// Reads a file; `None` when it is gone meanwhile.
fn read<T>(file: &Path, parse: impl FnOnce(&[u8]) -> Result<T, Flaw>) -> Result<Option<T>, Flaw> {
    let unreadable = |error: store::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Flaw::Unreadable(cause.unwrap_or_else(|| error.to_string()))
    };
    publish::published(file).map_err(unreadable)?.map(|contents| parse(&contents)).transpose()
}

/// Whether it is a `SignedCertificateTimestampList` (RFC 6962, section 3.3), as far as `HAProxy` looks.
fn is_timestamps(list: &[u8]) -> bool {
    fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    }
    let Some((mut rest, [])) = split(list) else { return false };
    while !rest.is_empty() {
        let Some((_, after)) = split(rest) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_timestamps_is_taken_for_one() {
        for good in [&[0, 0][..], &[0, 4, 0, 2, 1, 2], &[0, 6, 0, 2, 1, 2, 0, 0]] {
            assert!(is_timestamps(good), "{good:?}");
        }
        for bad in [&b""[..], &[0], &[0, 1], &[0, 4, 0, 2, 1], &[0, 3, 0, 2, 1], &[0, 0, 0], b"garbage"] {
            assert!(!is_timestamps(bad), "{bad:?}");
        }
    }
}
