//! Certificates from a private authority of our own: nobody is asked, so there is no journal, no challenge and no limit.

use std::collections::BTreeSet;

use super::{Error, Renewer};
use crate::bundle::{Gate, Trust};
use crate::config::{Certificate, Issuer};
use crate::internal::{self, Root};
use crate::model::KeyType;
use crate::store::{CertLock, Meta, Source};

impl Renewer<'_> {
    /// Issues a certificate and stores it; returns the number of its generation.
    pub(super) fn issue_internally(
        &self,
        lock: &CertLock,
        certificate: &Certificate,
        issuer: &Issuer,
        key_type: KeyType,
    ) -> Result<u64, Error> {
        let root = self.internal_root(issuer)?;
        let now = self.clock.now();
        let (leaf, key) =
            root.issue(&certificate.domains, key_type, now).map_err(|source| self.internal(issuer, source))?;
        let gate = Gate {
            name: &certificate.name,
            kind: certificate.kind,
            now,
            trust: &Trust::new(vec![root.certificate().clone()]),
            required: &certificate.domains.iter().cloned().collect::<BTreeSet<_>>(),
            rivals: &[],
            force: false,
        };
        let admitted = gate
            .admit(&[leaf.as_bytes(), key.pem().as_bytes()])
            .map_err(|source| Error::Issued { issuer: issuer.name.clone(), source: Box::new(source) })?;
        let meta = Meta { source: Source::Internal, issuer: Some(issuer.name.clone()), created: now };
        let number = self.store.add(lock, &admitted.bundle, &meta)?;
        // An order that was interrupted at another issuer is not gone on with.
        self.store.drop_journal(lock)?;
        let not_after = admitted.bundle.facts().not_after;
        tracing::info!(certificate = %lock.name(), issuer = issuer.name, generation = number, %not_after, "certificate stored");
        Ok(number)
    }

    /// The root of a private authority, which is made if there is none yet.
    pub fn internal_root(&self, issuer: &Issuer) -> Result<Root, Error> {
        let failed = |source| self.internal(issuer, source);
        let text = if let Some(text) = self.store.internal_root(&issuer.name)? {
            text
        } else {
            let system = rustix::system::uname();
            let root = Root::generate(&issuer.name, &system.nodename().to_string_lossy(), self.clock.now());
            let root = root.map_err(failed)?;
            tracing::info!(issuer = issuer.name, "a private authority begins: clients have to learn to trust its root");
            self.store.save_internal_root(&issuer.name, &root.pem())?
        };
        Root::from_pem(&text).map_err(failed)
    }

    fn internal(&self, issuer: &Issuer, source: internal::Error) -> Error {
        Error::Internal { issuer: issuer.name.clone(), file: self.store.internal_root_file(&issuer.name), source }
    }
}
