//! What can keep a record from being added or removed.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Authority, DnsName, TsigAlgorithm};
use crate::program;
use crate::schedule::Retry;

/// A record cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of a secret cannot be read.
    #[error("cannot read the secret {}", path.display())]
    Secret {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of a key has something else.
    #[error("{} is no key for updates: {reason}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The file of an environment has something else.
    #[error("{}:{line}: {reason}", path.display())]
    Environment {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: &'static str,
    },
    /// The server cannot be reached, or ends the connection.
    #[error("the DNS server {server} cannot be reached")]
    Unreachable {
        /// The server.
        server: Authority,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server does not answer.
    #[error("the DNS server {server} has not answered within {} s", .waited.as_secs())]
    Silent {
        /// The server.
        server: Authority,
        /// How long was waited.
        waited: Duration,
    },
    /// The answer of the server is not to be believed.
    #[error("the DNS server {server} cannot be understood: {reason}")]
    Garbled {
        /// The server.
        server: Authority,
        /// Why.
        reason: &'static str,
    },
    /// The server does not accept our signature.
    #[error("the DNS server {server} does not accept the key {key} ({algorithm}): {reason}")]
    Signature {
        /// The server.
        server: Authority,
        /// The name of the key.
        key: DnsName,
        /// Its algorithm.
        algorithm: TsigAlgorithm,
        /// Why.
        reason: &'static str,
    },
    /// The server refuses the change.
    #[error("the DNS server {server} refuses to change {name}: {code}")]
    Refused {
        /// The server.
        server: Authority,
        /// The record.
        name: DnsName,
        /// The name of the key.
        key: DnsName,
        /// Its answer, in words.
        code: &'static str,
    },
    /// The server is responsible for other names.
    #[error("the DNS server {server} is not authoritative for {name}")]
    NotAuthoritative {
        /// The server.
        server: Authority,
        /// The record.
        name: DnsName,
    },
    /// The zone is not that of the record.
    #[error("{name} is not in the zone {zone}")]
    OutsideZone {
        /// The record.
        name: DnsName,
        /// The zone.
        zone: DnsName,
    },
    /// Nobody said which zone it is.
    #[error("the zone of {name} is not known")]
    ZoneUnknown {
        /// The record.
        name: DnsName,
    },
    /// What is configured for a provider, or what its files hold, is not what it takes. It was not asked.
    #[error("the credentials of the DNS provider {service} cannot be used: {reason}")]
    Credentials {
        /// The provider.
        service: String,
        /// What is wrong, without secrets.
        reason: String,
    },
    /// A provider cannot be reached.
    #[error("the DNS provider {service} cannot be reached at {at}")]
    HostedUnreachable {
        /// The provider.
        service: String,
        /// Where: scheme, host and port.
        at: String,
    },
    /// A provider refuses, or fails.
    #[error("the DNS provider {service} failed: {reason}")]
    Hosted {
        /// The provider.
        service: String,
        /// What it said, cut and without secrets.
        reason: String,
        /// What it is about.
        about: About,
    },
    /// A provider has not answered.
    #[error("the DNS provider {service} has not answered within {} s", .waited.as_secs())]
    HostedSilent {
        /// The provider.
        service: String,
        /// How long was waited.
        waited: Duration,
    },
    /// This program was built without the provider.
    #[error("this hotcert was built without the DNS provider {service}")]
    NotBuilt {
        /// The provider.
        service: String,
    },
    /// A program did not do it.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// A script cannot be read.
    #[error("cannot read {} of acme.sh", path.display())]
    NoScript {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a failure of a provider is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Our credentials.
    Credentials,
    /// The zone, or the place where the provider was asked.
    Zone,
    /// Anything else.
    Other,
}

impl Error {
    /// Whether it makes sense to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::OutsideZone { .. } | Self::NotBuilt { .. } => Retry::Never,
            // Others may be mended by whoever keeps the zone, without a word to us.
            _ => Retry::Backoff,
        }
    }

    /// Whether something of ours is wrong: nobody was asked.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Secret { .. }
                | Self::Key { .. }
                | Self::Environment { .. }
                | Self::OutsideZone { .. }
                | Self::Credentials { .. }
                | Self::NotBuilt { .. }
                | Self::Program(program::Error::Run { .. })
                | Self::NoScript { .. }
        )
    }

    /// Whether nothing can have been changed, so that there is nothing to be undone.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        let is_refused = matches!(
            self,
            Self::Signature { .. }
                | Self::Refused { .. }
                | Self::NotAuthoritative { .. }
                | Self::ZoneUnknown { .. }
                | Self::Hosted { about: About::Credentials, .. }
        );
        is_refused || self.is_ours()
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Secret { path, source } => match source.kind() {
                ErrorKind::NotFound => "write the secret into that file, or correct its path in the configuration".to_owned(),
                ErrorKind::PermissionDenied => {
                    format!("let hotcert's user read it: `chown hotcert {0} && chmod 600 {0}`", path.display())
                }
                _ => "write the secret into it, and nothing else".to_owned(),
            },
            Self::Key { path, reason } if reason.contains("`name`") => {
                format!(
                    "tsig = {{ key_file = \"{}\", name = \"NAME\" }}, with the name that the server has for the key",
                    path.display()
                )
            }
            Self::Key { .. } => {
                "make one by `tsig-keygen -a hmac-sha256 NAME`, and give the same file to the server".to_owned()
            }
            Self::Environment { .. } => "write one NAME=value a line".to_owned(),
            Self::Unreachable { server, .. } | Self::Silent { server, .. } => {
                format!("try `dig +tcp @{} -p {} SOA ZONE`; updates go over TCP", server.host, server.port)
            }
            Self::Garbled { .. } => {
                "name the primary server of the zone, and let it take updates that are signed by this key".to_owned()
            },
            Self::Signature { reason, .. } if reason.contains("clocks") => {
                "set the clock of this machine or of the server, best by NTP".to_owned()
            }
            Self::Signature { .. } => {
                "compare name, algorithm and secret with the `key` statement of the server".to_owned()
            }
            Self::Refused { key, name, .. } => format!(
                "allow it in the zone: update-policy {{ grant {key} name {name}. TXT; }}; updates go to the primary server"
            ),
            Self::NotAuthoritative { .. } => {
                "name the primary server of the zone, and leave out `zone` or correct it; where _acme-challenge is a CNAME, it is \
                 the zone that it leads to"
                    .to_owned()
            }
            Self::OutsideZone { .. } => "leave out `zone`, so that it is looked up, or correct it".to_owned(),
            Self::ZoneUnknown { .. } => "set `zone` in the solver".to_owned(),
            Self::Credentials { .. } => "correct `credentials` of the solver, or the files that it names".to_owned(),
            Self::HostedUnreachable { at, .. } => format!(
                "try `curl -v {at}` on this machine: the name, the port or the certificate is wrong, or the provider is down"
            ),
            Self::Hosted { about: About::Credentials, .. } => {
                "put credentials that are valid, and allowed to change the zone, into the files that `credentials` names"
                    .to_owned()
            }
            Self::Hosted { about: About::Zone, .. } => {
                "correct `zone` of the solver, or the place of the provider in its `credentials`".to_owned()
            }
            Self::Hosted { .. } | Self::HostedSilent { .. } => {
                "try again later; if it stays, look at the provider's status page, and at `zone` of the solver"
                    .to_owned()
            }
            Self::NotBuilt { .. } => {
                "use one that was built with the feature hosted-dns, or the providers rfc2136, exec or acme.sh"
                    .to_owned()
            }
            Self::Program(error) => {
                error.hint().unwrap_or("run it by hand, as hotcert does: see docs/dns-01.md").to_owned()
            }
            Self::NoScript { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "let hotcert's user read the directory `home`, or use a copy of it elsewhere".to_owned()
            }
            Self::NoScript { .. } => {
                "`home` is the directory with acme.sh and dnsapi, `api` a name such as dns_cf".to_owned()
            }
        })
    }
}
