//! Which of the chains that an authority offers is served (RFC 8555, section 7.4.2): the one that leads to a wished root.

use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::account::Signer;
use super::answer::links;
use super::problem::sanitised;
use crate::model::chain;

/// Chains that are looked at beside the default one; authorities offer one or two.
const ALTERNATES: usize = 8;

/// The first chain whose last certificate is, or was issued by, an authority of this common name: the default one, or one of those
/// that its answer links to. Roots come and go, so that none leads there is no reason to fail: then it is the default one.
pub(super) async fn preferred(signer: &Signer, default: String, headers: &HeaderMap, root: &str) -> String {
    let Some(top) = Top::of(&default) else { return default };
    if top.leads_to(root) {
        return default;
    }
    let leaf = top.leaf;
    let mut offered = vec![top.issuer];
    for url in links(headers, "alternate").into_iter().take(ALTERNATES) {
        let answer = match signer.post(&url, None).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(url = sanitised(&url), error = %chain(&error), "a chain that the authority offers cannot be had");
                continue;
            }
        };
        let Ok(chain) = str::from_utf8(answer.body()) else { continue };
        match Top::of(chain) {
            // A chain of something else is none that was asked for.
            Some(top) if top.leaf == leaf && top.leads_to(root) => return chain.to_owned(),
            Some(top) if top.leaf == leaf => offered.push(top.issuer),
            _ => tracing::warn!(
                url = sanitised(&url),
                "what the authority offers as another chain is none of this certificate"
            ),
        }
    }
    let offered = offered.join(", ");
    tracing::warn!(
        preferred = root,
        offered,
        "the authority offers no chain to the preferred root; its default one is used"
    );
    default
}

/// The two ends of a chain.
struct Top {
    leaf: CertificateDer<'static>,
    subject: Option<String>,
    /// Who issued the last certificate: its common name, or all of its name.
    issuer: String,
}

impl Top {
    /// `None` when it is no chain of certificates in PEM.
    fn of(pem: &str) -> Option<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
        let (leaf, last) = (chain.first()?.clone(), chain.last()?);
        let (_, last) = X509Certificate::from_der(last).ok()?;
        let issuer = common_name(last.issuer()).unwrap_or_else(|| sanitised(&last.issuer().to_string()));
        Some(Self { leaf, subject: common_name(last.subject()), issuer })
    }

    fn leads_to(&self, root: &str) -> bool {
        self.issuer == root || self.subject.as_deref() == Some(root)
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    Some(sanitised(name.iter_common_name().next()?.as_str().ok()?))
}
