//! From a certificate of another program to a generation, and to how it is renewed from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lineage::Lineage;
use crate::bundle::{Bundle, Gate, Notice, Refusal, Rival, Trust};
use crate::clock::Clock;
use crate::config::{self, Certificate, Config, Issuer, OrderFlags, Remembered};
use crate::model::{CertName, DirectoryUrl, Facts, Invalid};
use crate::store::{self, Meta, Source, Store};

/// How long another process may be at work on the same certificate: longer than a push takes. An order takes longer, and then there
/// is nothing to import.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);

/// Takes over what another program manages.
pub struct Importer<'a> {
    /// Where it goes.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Roots that may end a chain.
    pub trust: &'a Trust,
    /// What is known already.
    pub config: &'a Config,
    /// How it is ordered from now on.
    pub flags: &'a OrderFlags,
    /// The mail addresses of the other program's accounts, by the directory of their authority.
    pub contacts: BTreeMap<DirectoryUrl, Vec<String>>,
    /// What nodes serve in the place of certificates that are new to us.
    pub served: BTreeMap<CertName, Vec<Rival>>,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is stored now, or would be.
    Adopted,
    /// It was stored before.
    Present,
    /// What is stored is newer.
    Older,
}

/// A certificate that hotcert manages from now on.
#[derive(Debug)]
pub struct Adopted {
    /// The certificate, and how it is ordered.
    pub certificate: Certificate,
    /// What became of it.
    pub fate: Fate,
    /// What the leaf of the other program says.
    pub facts: Facts,
    /// What was repaired.
    pub notices: Vec<Notice>,
}

/// A certificate is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot have the name that the files give it.
    #[error("its name cannot name a certificate: {0}")]
    Unnamed(Invalid),
    /// Its files cannot be read.
    #[error("{0}")]
    Unread(String),
    /// It did not pass the gate.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody says from whom to renew it.
    #[error("the files do not say which authority renews it")]
    NoDirectory,
    /// It was revoked.
    #[error("it was revoked, and is not loaded again")]
    Revoked,
    /// Another process is at work on it.
    #[error("another hotcert is at work on certificate {0}")]
    Busy(CertName),
    /// How it is ordered cannot be said.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unnamed(_) => Some("load it under another name by `hotcert push --name`".to_owned()),
            Self::Refused(refusal) if refusal.check.can_be_forced() => {
                Some("order it anew by `hotcert issue`, if it is still wanted".to_owned())
            }
            Self::Refused(refusal) => Some(refusal.check.hint().to_owned()),
            Self::NoDirectory => Some("say it by --directory".to_owned()),
            Self::Config(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Busy(_) => Some("import again once that is done".to_owned()),
            Self::Unread(_) | Self::Revoked => None,
        }
    }
}

impl Importer<'_> {
    /// The certificate as far as its files tell, when nothing of that name is stored: it is measured against what nodes serve.
    #[must_use]
    pub fn stranger(&self, lineage: &Lineage) -> Option<Certificate> {
        let bundle = Bundle::reopen(lineage.name.as_ref().ok()?, &lineage.inputs()).ok()?;
        let name = self.name(lineage, &bundle).ok()?;
        let known = self.config.certificates.get(&name).cloned().unwrap_or_else(|| Certificate::new(name));
        let is_stored = matches!(self.store.current(&known.name), Ok(Some(_)));
        (!is_stored).then(|| Certificate { domains: bundle.names(), ..known })
    }

    /// Takes over a certificate.
    pub async fn certificate(&self, lineage: &Lineage) -> Result<Adopted, Error> {
        let provisional = lineage.name.clone().map_err(Error::Unnamed)?;
        if let Err(unread) = &lineage.contents {
            return Err(Error::Unread(unread.to_string()));
        }
        let inputs = lineage.inputs();
        let bundle = Bundle::reopen(&provisional, &inputs)?;
        let name = self.name(lineage, &bundle).map_err(Error::Unnamed)?;
        let known = self.config.certificates.get(&name);
        let is_configured = known.is_some() && !self.config.remembered.contains(&name);
        let directory = self.flags.directory.as_ref().or(lineage.directory.as_ref());
        let issuer = match directory {
            Some(directory) => Some(self.issuer(directory)?),
            None => None,
        };
        let issuer_of = || known.and_then(|known| known.order.as_ref()?.issuers.first().cloned());
        let issuer = issuer.or_else(issuer_of).ok_or(Error::NoDirectory)?;

        let lock = if self.dry_run {
            None
        } else {
            let lock = store::until(LOCK_DEADLINE, || self.store.try_lock_certificate(&name)).await?;
            Some(lock.ok_or_else(|| Error::Busy(name.clone()))?)
        };
        let facts = bundle.facts().clone();
        let stored = self.store.current(&name)?;
        let fate = match &stored {
            Some(stored) if stored.facts.sha256 == facts.sha256 => Fate::Present,
            Some(stored) if stored.facts.not_before > facts.not_before => Fate::Older,
            _ if self.store.holds(&name, facts.sha256)? => Fate::Older,
            _ => Fate::Adopted,
        };
        let mut notices = Vec::new();
        if fate == Fate::Adopted {
            if self.store.revocation(&name, facts.sha256)?.is_some() {
                return Err(Error::Revoked);
            }
            let required = known.filter(|_| is_configured).map(|known| known.domains.iter().cloned().collect());
            let rivals = match &stored {
                Some(stored) => vec![Rival {
                    place: "the store".to_owned(),
                    sha1: stored.facts.sha1,
                    not_before: Some(stored.facts.not_before),
                    names: stored.facts.names.clone(),
                }],
                None => self.served.get(&name).cloned().unwrap_or_default(),
            };
            let gate = Gate {
                name: &name,
                kind: lineage.kind,
                now: self.clock.now(),
                trust: self.trust,
                required: &required.unwrap_or_default(),
                rivals: &rivals,
                force: false,
            };
            let admitted = gate.admit(&inputs)?;
            notices = admitted.notices;
            if let Some(lock) = &lock {
                let (source, created) = (Source::Import, self.clock.now());
                let issued_by = lineage.directory.as_ref() == issuer.directory.as_ref();
                let meta = Meta { source, issuer: issued_by.then(|| issuer.name.clone()), created };
                self.store.add(lock, &admitted.bundle, &meta)?;
            }
        }
        let certificate = match known {
            Some(known) if is_configured => known.clone(),
            _ => {
                let names = known.filter(|known| fate != Fate::Adopted && known.order.is_some());
                let domains = names.map_or_else(|| bundle.names(), |known| known.domains.clone());
                let adopted = self.config.certificate_to_adopt(&name, domains, &issuer, facts.key_type, self.flags);
                Certificate { kind: lineage.kind.or(known.and_then(|known| known.kind)), ..adopted }
            }
        };
        if let Some(lock) = lock.filter(|_| known != Some(&certificate)) {
            let remembered = Remembered::of(self.config, &certificate);
            if self.store.remembered::<Remembered>(&name)?.as_ref() != Some(&remembered) {
                self.store.remember(&lock, &remembered)?;
            }
        }
        Ok(Adopted { certificate, fate, facts, notices })
    }

    /// The authority, as it is configured or as the other program knew it.
    fn issuer(&self, directory: &DirectoryUrl) -> Result<Issuer, config::Error> {
        let flags = OrderFlags { directory: Some(directory.clone()), ..self.flags.clone() };
        let mut issuer = self.config.issuer(None, &flags)?;
        if issuer.contact.is_empty() {
            issuer.contact = self.contacts.get(directory).cloned().unwrap_or_default();
        }
        Ok(issuer)
    }

    /// The name that the certificate has with us: where one of each kind is managed under it, that of the right one.
    fn name(&self, lineage: &Lineage, bundle: &Bundle) -> Result<CertName, Invalid> {
        let name = lineage.name.clone()?;
        if self.config.certificates.contains_key(&name) {
            return Ok(name);
        }
        let kind = bundle.facts().kind();
        let member = self.config.kinds_of(&name).find(|member| member.kind == kind).map(|member| member.name.clone());
        Ok(member.unwrap_or(name))
    }
}

/// The names of a certificate that none of its solvers proves.
#[must_use]
pub fn unprovable(certificate: &Certificate) -> BTreeSet<String> {
    let solvers = certificate.order.as_ref().map(|order| order.solvers.as_slice()).unwrap_or_default();
    let names = certificate.domains.iter().filter(|name| !solvers.iter().any(|solver| solver.fits(name)));
    names.map(crate::model::Identifier::human).collect()
}
