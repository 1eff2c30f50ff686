//! How the renewal of a certificate stands: what its authority says, what failed last, when it is tried again.
//!
//! All but the troubles with single issuers is about one generation, and void for another one. It can be lost without harm: then
//! the authority is asked again. So a file that is damaged is none, with a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CertLock, Error, Standing, Store, read};
use crate::model::{CertName, chain};
use crate::schedule::{Again, Ari};

/// Longest text of a failure that is kept, in characters: room for the link that ends a pause, which is the longest part.
const PROBLEM: usize = 4000;

/// What is remembered between two looks at a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Renewal {
    /// The generation that all this is about; `None` before there is one.
    generation: Option<u64>,
    /// What the authority says about the right time.
    pub ari: Option<Ari>,
    /// When it is asked again; `None` when it was never asked.
    pub ask_at: Option<Timestamp>,
    /// When the authority's word last led to a renewal; this outlives a generation.
    pub by_ari: Option<Timestamp>,
    /// What failed whoever is asked, such as the proof of a name.
    pub trouble: Option<Trouble>,
    /// What failed because of one issuer, by the name of that; it says nothing about a generation, and outlives it.
    pub refusals: BTreeMap<String, Trouble>,
}

/// Failures in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// How many.
    pub failures: u32,
    /// The last one, in words.
    pub problem: String,
    /// When that was.
    pub at: Timestamp,
    /// When to try again; `None` when only a person can help.
    pub again: Option<Again>,
    /// Whether the other side has asked us to wait so long.
    pub demanded: bool,
}

impl Trouble {
    /// One more failure. `chain` is the text of the error and of its causes.
    #[must_use]
    pub fn new(failures: u32, problem: &str, at: Timestamp, again: Option<Again>, demanded: bool) -> Self {
        Self { failures, problem: problem.chars().take(PROBLEM).collect(), at, again, demanded }
    }

    /// Until when it is not tried again; [`Timestamp::MAX`] when only a person can help.
    #[must_use]
    pub fn until(&self, in_emergency: bool) -> Timestamp {
        self.again.map_or(Timestamp::MAX, |again| again.instant(in_emergency))
    }
}

/// Why something is not tried yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Until when; `None` when only a person can help.
    pub until: Option<Timestamp>,
    /// What failed.
    pub problem: String,
    /// Whether the other side has asked us to wait so long.
    pub demanded: bool,
}

impl Renewal {
    /// That of a generation that was just stored.
    #[must_use]
    pub fn of(generation: u64, by_ari: Option<Timestamp>) -> Self {
        Self { generation: Some(generation), by_ari, ..Self::default() }
    }

    /// That of the generation that follows, which came from `issuer` at this instant: what holds with the others goes on.
    #[must_use]
    pub fn followed_by(&self, generation: u64, by_ari: Option<Timestamp>, issuer: &str, now: Timestamp) -> Self {
        let lasts = |(name, trouble): &(&String, &Trouble)| *name != issuer && trouble.until(false) > now;
        let refusals =
            self.refusals.iter().filter(lasts).map(|(name, trouble)| (name.clone(), trouble.clone())).collect();
        Self { refusals, ..Self::of(generation, by_ari) }
    }

    /// How often it failed in a row with an issuer, or with any.
    #[must_use]
    pub fn failures(&self, issuer: &str) -> u32 {
        self.own(issuer).map(|trouble| trouble.failures).max().unwrap_or(0)
    }

    /// What keeps a certificate from being ordered from an issuer: its own failures, or those of the authority as a whole.
    #[must_use]
    pub fn hold(&self, issuer: &str, standing: &Standing, now: Timestamp, in_emergency: bool) -> Option<Hold> {
        longest(self.own(issuer).chain(&standing.trouble), now, in_emergency)
    }

    /// The same without those of the authority as a whole, which are nothing to a certificate that is not due.
    #[must_use]
    pub fn own_hold(&self, issuer: &str, now: Timestamp, in_emergency: bool) -> Option<Hold> {
        longest(self.own(issuer), now, in_emergency)
    }

    /// The certificate's own troubles with an issuer.
    pub fn own(&self, issuer: &str) -> impl Iterator<Item = &Trouble> {
        self.trouble.iter().chain(self.refusals.get(issuer))
    }
}

impl Hold {
    /// What keeps a certificate from several issuers, each of which is held by one of these; `None` for none.
    #[must_use]
    pub fn of_all(holds: Vec<Self>) -> Option<Self> {
        let first = holds.iter().min_by_key(|hold| hold.until.unwrap_or(Timestamp::MAX))?.until;
        let demanded = holds.iter().all(|hold| hold.demanded);
        Some(Self { until: first, problem: in_words(holds.into_iter().map(|hold| hold.problem)), demanded })
    }
}

/// Several problems in one text, each once.
fn in_words(problems: impl IntoIterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for problem in problems {
        if !distinct.contains(&problem) {
            distinct.push(problem);
        }
    }
    distinct.join("; ")
}

fn longest<'t>(troubles: impl Iterator<Item = &'t Trouble>, now: Timestamp, in_emergency: bool) -> Option<Hold> {
    let lasting = troubles.filter(|trouble| trouble.until(in_emergency) > now);
    lasting.max_by_key(|trouble| trouble.until(in_emergency)).map(|trouble| Hold {
        until: trouble.again.map(|again| again.instant(in_emergency)),
        problem: trouble.problem.clone(),
        demanded: trouble.demanded,
    })
}

impl Store {
    /// How the renewal of a certificate stands whose current generation is this.
    pub fn renewal(&self, name: &CertName, generation: Option<u64>) -> Result<Renewal, Error> {
        let stored: Renewal = lenient(&self.renewal_path(name))?;
        if stored.generation == generation {
            return Ok(stored);
        }
        Ok(Renewal { generation, by_ari: stored.by_ari, refusals: stored.refusals, ..Renewal::default() })
    }

    /// Remembers how it stands; nothing is written when it stands like that already.
    pub fn save_renewal(&self, lock: &CertLock, renewal: &Renewal) -> Result<(), Error> {
        let path = self.renewal_path(lock.name());
        if lenient::<Renewal>(&path)? == *renewal {
            return Ok(());
        }
        self.write_json(&path, renewal)?;
        tracing::trace!(target: "hotcert::step", "store: renewal noted");
        Ok(())
    }

    fn renewal_path(&self, name: &CertName) -> PathBuf {
        self.certificate(name).join("renewal.json")
    }
}

/// The value in a JSON file that can be done without: one that is missing or cannot be understood is empty.
pub(super) fn lenient<T: DeserializeOwned + Default>(path: &Path) -> Result<T, Error> {
    match read::json(path) {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(error @ (Error::Damaged { .. } | Error::TooLong { .. } | Error::NotAFile { .. })) => {
            tracing::warn!(error = %chain(&error), "a file of notes was unreadable, and is begun anew");
            Ok(T::default())
        }
        Err(error) => Err(error),
    }
}
