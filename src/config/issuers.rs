//! Which authority a command about accounts means.

use std::collections::BTreeMap;

use super::{Config, Error, Issuer, OrderFlags};

impl Config {
    /// The authorities of the file and of what is remembered, in order, each directory once.
    #[must_use]
    pub fn known_issuers(&self) -> Vec<&Issuer> {
        let orders = self.certificates.values().filter_map(|certificate| certificate.order.as_ref());
        let mut known: Vec<&Issuer> = Vec::new();
        for issuer in self.issuers.values().chain(orders.flat_map(|order| &order.issuers)) {
            if issuer.directory.is_some() && !known.iter().any(|other| other.directory == issuer.directory) {
                known.push(issuer);
            }
        }
        known
    }

    /// The private authorities of our own, of the file and of what is remembered, by name.
    #[must_use]
    pub fn internal_issuers(&self) -> Vec<&Issuer> {
        let orders = self.certificates.values().filter_map(|certificate| certificate.order.as_ref());
        let all = self.issuers.values().chain(orders.flat_map(|order| &order.issuers));
        let own = all.filter(|issuer| issuer.directory.is_none());
        own.map(|issuer| (issuer.name.as_str(), issuer)).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The private authority of our own that is meant by a name; without one, the only one.
    pub fn internal_issuer(&self, name: Option<&str>) -> Result<Issuer, Error> {
        let known = self.internal_issuers();
        let (what, hint) = match (name, known.as_slice()) {
            (Some(name), _) if known.iter().any(|issuer| issuer.name == name) => {
                return Ok(Issuer::internal(name.to_owned()));
            }
            (None, [only]) => return Ok((*only).clone()),
            (_, []) => (
                "no private authority is configured".to_owned(),
                "configure one: [issuer.local] with type = \"internal\"".to_owned(),
            ),
            (Some(name), _) => {
                (format!("there is no private authority {name:?}"), format!("there is: {}", names(&known)))
            }
            (None, _) => (
                "there are several private authorities".to_owned(),
                format!("say which by --issuer: {}", names(&known)),
            ),
        };
        Err(Error::Missing { what, hint })
    }

    /// The authority that is meant by a name of the configuration, or by the flags, which are laid over it; without either, the only
    /// one that is known, or Let's Encrypt where none is.
    pub fn issuer(&self, name: Option<&str>, flags: &OrderFlags) -> Result<Issuer, Error> {
        flags.check_contacts()?;
        let known = self.known_issuers();
        let mut issuer = match (name, &flags.directory, known.as_slice()) {
            (Some(name), ..) => {
                // A configuration may have several with one directory.
                let found = self.issuers.get(name).or_else(|| known.iter().copied().find(|issuer| issuer.name == name));
                found.cloned().ok_or_else(|| Error::Missing {
                    what: format!("there is no issuer {name:?}"),
                    hint: match known.len() {
                        0 => "name its directory by --directory letsencrypt".to_owned(),
                        _ => format!("the issuers are: {}", names(&known)),
                    },
                })?
            }
            (None, Some(directory), _) => {
                let same = known.iter().find(|issuer| issuer.directory.as_ref() == Some(directory));
                same.map_or_else(|| Issuer::at(directory), |issuer| (*issuer).clone())
            }
            (None, None, []) => Issuer::letsencrypt(),
            (None, None, [only]) => (*only).clone(),
            (None, None, several) => {
                return Err(Error::Missing {
                    what: "there are several issuers".to_owned(),
                    hint: format!("say which by --issuer: {}", names(several)),
                });
            }
        };
        flags.lay_over_issuer(&mut issuer);
        Ok(issuer)
    }
}

fn names(issuers: &[&Issuer]) -> String {
    issuers.iter().map(|issuer| issuer.name.as_str()).collect::<Vec<_>>().join(", ")
}
