//! Putting certificates in order, and checking that each link signs the one before it.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, X509Error};

use super::facts::shown;

/// Roots that end a chain: those of the system and those that the operator configured.
#[derive(Debug, Clone, Default)]
pub struct Trust(Vec<CertificateDer<'static>>);

impl Trust {
    /// Takes the roots in DER; what does not parse is never matched.
    #[must_use]
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Self {
        Self(roots)
    }

    /// Whether one of the roots issued the certificate, by name and signature.
    pub(super) fn issued(&self, cert: &X509Certificate<'_>) -> bool {
        self.0
            .iter()
            .any(|root| X509Certificate::from_der(root).is_ok_and(|(_, root)| link(cert, &root) == Link::Signed))
    }
}

/// What lies between a certificate and one that may have issued it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Unrelated,
    /// The names fit, the signature does not.
    Forged,
    /// Names and signature fit, or the signature is of a kind that cannot be checked here (left to clients then).
    Signed,
}

fn link(cert: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Link {
    if cert.issuer().as_raw() != issuer.subject().as_raw() {
        return Link::Unrelated;
    }
    match cert.verify_signature(Some(issuer.public_key())) {
        Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => Link::Signed,
        Err(_) => Link::Forged,
    }
}

/// A certificate as it was found.
pub(super) struct Found<'a> {
    pub(super) cert: X509Certificate<'a>,
    pub(super) der: &'a [u8],
    /// The line of its block, from 1.
    pub(super) line: usize,
}

impl Found<'_> {
    fn is_self_signed(&self) -> bool {
        link(&self.cert, &self.cert) == Link::Signed
    }

    pub(super) fn subject(&self) -> String {
        shown(self.cert.subject())
    }
}

/// The certificates that follow the leaf, in the order in which clients want them.
#[derive(Debug)]
pub(super) struct Ordered {
    /// Indices into what was found.
    pub(super) intermediates: Vec<usize>,
    /// Whether a root stood at the end and was left out.
    pub(super) root_dropped: bool,
    /// Whether the chain ends at a known root, or at a root that the file itself brought.
    pub(super) complete: bool,
}

/// The certificates do not form one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// `issuer` has the right name, and did not sign `subject`.
    Forged { subject: String, issuer: String, line: usize },
    /// Nothing that was found issued `subject`, although there is more.
    Gap { subject: String, issuer: String, stray: String, line: usize },
}

/// Walks from the leaf to its issuer, and on, until no issuer is found.
pub(super) fn order(found: &[Found<'_>], leaf: usize, trust: &Trust) -> Result<Ordered, Broken> {
    let mut path = vec![leaf];
    loop {
        let last = &found[path[path.len() - 1]];
        if last.is_self_signed() {
            break;
        }
        let mut next = None;
        let mut forged = None;
        for (index, candidate) in found.iter().enumerate() {
            if path.contains(&index) {
                continue;
            }
            match link(&last.cert, &candidate.cert) {
                Link::Signed => {
                    next = Some(index);
                    break;
                }
                Link::Forged => forged = Some(candidate),
                Link::Unrelated => {}
            }
        }
        match (next, forged) {
            (Some(index), _) => path.push(index),
            (None, Some(candidate)) => {
                return Err(Broken::Forged {
                    subject: last.subject(),
                    issuer: candidate.subject(),
                    line: candidate.line,
                });
            }
            (None, None) => break,
        }
    }

    let in_path = |cert: &Found<'_>| {
        path.iter().any(|&index| {
            found[index].der == cert.der || found[index].cert.public_key().raw == cert.cert.public_key().raw
        })
    };
    // A second copy, or a cross-signed twin of a link, is superfluous and harmless; anything else means that a link is missing.
    if let Some(stray) = found.iter().find(|cert| !in_path(cert)) {
        let last = &found[path[path.len() - 1]];
        return Err(Broken::Gap {
            subject: last.subject(),
            issuer: shown(last.cert.issuer()),
            stray: stray.subject(),
            line: stray.line,
        });
    }

    let last = path[path.len() - 1];
    let ends_in_root = path.len() > 1 && found[last].is_self_signed();
    // A root that issued the leaf itself stays, unless it is known: without it the chain could not be told from a broken one.
    let root_dropped = ends_in_root && (path.len() > 2 || trust.issued(&found[leaf].cert));
    let kept = path.len() - usize::from(root_dropped);
    Ok(Ordered {
        complete: kept > 1 || trust.issued(&found[leaf].cert),
        intermediates: path[1..kept].to_vec(),
        root_dropped,
    })
}
