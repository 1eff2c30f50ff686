//! Certificates of two kinds: what is configured under one name, with an ECDSA and an RSA key, is managed as two certificates.
//!
//! `example.org` becomes `example.org.ecdsa` and `example.org.rsa`, which share everything but the key. So each has its own order,
//! generations and slot, and what happens to one is nothing to the other.

use std::collections::BTreeSet;

use super::{Certificate, Config, Error, Order};
use crate::model::{CertName, Invalid, KeyKind, KeyType};

/// Checks a choice of key types: one, or one of each kind.
pub(super) fn check(keys: &[KeyType]) -> Result<(), String> {
    match keys {
        [_] => Ok(()),
        [one, other] if one.kind() != other.kind() => Ok(()),
        [one, other] => Err(format!("must be of two kinds, one ECDSA and one RSA; {one} and {other} are of one")),
        _ => Err("must be one key type, or two".to_owned()),
    }
}

/// The name of one of the two kinds of a certificate.
pub fn member(name: &CertName, kind: KeyKind) -> Result<CertName, Invalid> {
    format!("{name}.{}", kind.as_str()).parse()
}

impl Certificate {
    /// The name by which people know it; two kinds of one share it.
    #[must_use]
    pub fn configured_name(&self) -> CertName {
        let whole = self.kind.and_then(|kind| self.name.as_str().strip_suffix(kind.as_str())?.strip_suffix('.'));
        whole.and_then(|name| name.parse().ok()).unwrap_or_else(|| self.name.clone())
    }

    /// The name of its file for `HAProxy`'s next start. `HAProxy` loads those of two kinds side by side (configuration manual,
    /// `crt`, "multi-certificate bundling").
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = self.configured_name();
        match self.kind {
            Some(kind) => format!("{name}.pem.{}", kind.as_str()),
            None => format!("{name}.pem"),
        }
    }

    /// The algorithm of its key, where it is known before there is one.
    #[must_use]
    pub fn key_kind(&self) -> Option<KeyKind> {
        self.kind.or_else(|| self.order.as_ref()?.keys.first().map(|key| key.kind()))
    }

    /// The certificates to be managed: itself, or one for each of its key types.
    pub fn members(self) -> Result<Vec<Self>, Invalid> {
        let keys = self.order.as_ref().map(|order| order.keys.clone()).unwrap_or_default();
        if keys.len() < 2 {
            return Ok(vec![self]);
        }
        let one = |key: KeyType| {
            let mut one = Self { name: member(&self.name, key.kind())?, kind: Some(key.kind()), ..self.clone() };
            one.order.iter_mut().for_each(|order| order.keys = vec![key]);
            Ok(one)
        };
        keys.into_iter().map(one).collect()
    }
}

impl Config {
    /// The certificates that a name stands for: that of this name, or else both kinds of it.
    #[must_use]
    pub fn named(&self, name: &CertName) -> BTreeSet<CertName> {
        if self.certificates.contains_key(name) {
            return BTreeSet::from([name.clone()]);
        }
        self.kinds_of(name).map(|certificate| certificate.name.clone()).collect()
    }

    /// The names by which people know the certificates.
    #[must_use]
    pub fn configured_names(&self) -> BTreeSet<CertName> {
        self.certificates.values().map(Certificate::configured_name).collect()
    }

    /// The two kinds of a certificate, or the one of them that there is.
    pub fn kinds_of(&self, name: &CertName) -> impl Iterator<Item = &Certificate> + Clone + use<'_> {
        let members = KeyKind::ALL.into_iter().filter_map(|kind| {
            let certificate = self.certificates.get(&member(name, kind).ok()?)?;
            (certificate.kind == Some(kind)).then_some(certificate)
        });
        members.collect::<Vec<_>>().into_iter()
    }

    /// What is known of a certificate that is to be ordered with these key types, or with those that it has. Two kinds come in one
    /// piece, but where one key type is given: that means one of the two.
    pub(super) fn known(&self, name: &CertName, keys: &[KeyType]) -> Result<Option<Certificate>, Error> {
        let missing = |what: String, hint: &str| Error::Missing { what, hint: hint.to_owned() };
        if let Some(certificate) = self.certificates.get(name) {
            return match (certificate.kind, keys) {
                (Some(kind), [key, rest @ ..]) if !rest.is_empty() || key.kind() != kind => Err(missing(
                    format!("{name} is the one of two that has an {kind} key"),
                    "name both, without the ending, to order the other or both",
                )),
                (None, [_, _]) if !self.remembered.contains(name) => Err(missing(
                    format!("certificate {name} is configured with one key type"),
                    "configure two, as in key = [\"ecdsa-p256\", \"rsa-2048\"]",
                )),
                _ => Ok(Some(certificate.clone())),
            };
        }
        let members: Vec<_> = self.kinds_of(name).filter(|member| member.order.is_some()).collect();
        let Some(&first) = members.first() else { return Ok(None) };
        let known = members.iter().filter_map(|member| member.order.as_ref()).flat_map(|order| &order.keys).copied();
        let keys = if keys.is_empty() { known.collect() } else { keys.to_vec() };
        let (name, kind) = match keys.as_slice() {
            [key] => {
                let named = member(name, key.kind());
                (named.map_err(|invalid| missing(invalid.to_string(), "name it by --cert-name"))?, Some(key.kind()))
            }
            _ => (name.clone(), None),
        };
        let order = first.order.clone().map(|order| Order { keys, ..order });
        Ok(Some(Certificate { name, kind, order, ..first.clone() }))
    }

    /// Whether what is remembered of a certificate is void: the file has it by the same name, or in one piece where it is remembered in
    /// two, or in two where it is remembered in one.
    pub(super) fn overrules(&self, remembered: &Certificate) -> bool {
        let is_in_file = |name: &CertName| self.certificates.contains_key(name) && !self.remembered.contains(name);
        let name = remembered.configured_name();
        if self.certificates.contains_key(&remembered.name) {
            return true;
        }
        let none_is_in_file = self.certificates.len() == self.remembered.len();
        if none_is_in_file {
            return false;
        }
        match remembered.kind {
            // A file that another program wrote is a certificate of its own, whatever its name is like.
            Some(_) => remembered.order.is_some() && is_in_file(&name),
            None => self.kinds_of(&name).any(|member| is_in_file(&member.name)),
        }
    }
}

#[cfg(test)]
mod tests;
