//! Keeps TXT records for dns-01 challenges (RFC 8555, section 8.4): one file per kind of provider.
//!
//! A record is added beside whatever else stands at its name, and its removal takes away that one value. Both can be done again
//! without harm, and both end within a deadline. Nothing is remembered here: whoever adds a record has to note it first.
//!
//! What is written elsewhere reaches a program only as an argument of its own or as a variable of its environment, never as part
//! of a script.

mod acme_sh;
mod error;
mod exec;
#[cfg(feature = "hosted-dns")]
mod hosted;
#[cfg(not(feature = "hosted-dns"))]
#[path = "unhosted.rs"]
mod hosted;
mod rfc2136;
mod secret;
mod tsig;

use std::path::Path;
use std::time::Duration;

pub use error::Error;

use crate::model::{DnsName, DnsProvider, Record};

/// How long resolvers may keep a record, in seconds: little, because it is there for a minute. Some providers have a minimum, which
/// they take instead.
const TTL: u32 = 60;
/// How long a program may take. Scripts ask their provider several times, each time with a time-out of its own.
const PROGRAM_DEADLINE: Duration = Duration::from_mins(2);

/// A provider with what it takes to work with it.
#[derive(Debug, Clone, Copy)]
pub struct Keeper<'a> {
    /// Who keeps the records.
    pub provider: &'a DnsProvider,
    /// The zone, where it is known.
    pub zone: Option<&'a DnsName>,
}

impl Keeper<'_> {
    /// Adds a record beside others; that it is there already is fine. `scratch` is an empty private directory for programs that write
    /// where they like, and is to be removed afterwards.
    pub async fn add(&self, record: &Record, scratch: &Path) -> Result<(), Error> {
        self.change(Change::Add, record, scratch).await?;
        tracing::trace!(target: "hotcert::step", "solver: record added");
        Ok(())
    }

    /// Removes a record, and leaves others at its name; that it is gone already is fine. `scratch` is as for [`Keeper::add`].
    pub async fn remove(&self, record: &Record, scratch: &Path) -> Result<(), Error> {
        self.change(Change::Remove, record, scratch).await?;
        tracing::trace!(target: "hotcert::step", "solver: record removed");
        Ok(())
    }

    /// Checks what can be known without changing anything: that secrets can be read, and that a server knows our key.
    pub async fn check(&self, name: &DnsName) -> Result<(), Error> {
        match self.provider {
            DnsProvider::Rfc2136 { server, tsig } => rfc2136::check(server, tsig, self.zone, name).await,
            DnsProvider::Hosted { service, credentials } => hosted::check(service, credentials),
            DnsProvider::Exec { program } => exec::check(program),
            DnsProvider::AcmeSh { api, home, environment_file } => {
                acme_sh::check(&acme_sh::Script { api, home, environment: environment_file.as_deref() })
            }
        }
    }

    async fn change(&self, change: Change, record: &Record, scratch: &Path) -> Result<(), Error> {
        match self.provider {
            DnsProvider::Rfc2136 { server, tsig } => rfc2136::change(server, tsig, self.zone, change, record).await,
            DnsProvider::Hosted { service, credentials } => {
                let zone = self.zone.ok_or_else(|| Error::ZoneUnknown { name: record.name.clone() })?;
                hosted::change(service, credentials, zone, change, record).await
            }
            DnsProvider::Exec { program } => exec::change(program, change, record).await,
            DnsProvider::AcmeSh { api, home, environment_file } => {
                let script = acme_sh::Script { api, home, environment: environment_file.as_deref() };
                script.change(scratch, change, record).await
            }
        }
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}
