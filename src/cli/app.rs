//! What most commands begin with: configuration, store, roots.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::{Global, Output};
use crate::bundle::Trust;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Flags, Remembered};
use crate::daemon::{self, Loaded};
use crate::haproxy::SystemConnect;
use crate::internal::Root;
use crate::model::{CertName, NodeName, chain};
use crate::observe::events;
use crate::reconcile::{Problem, Pushes, Reconciler, Report};
use crate::renew::{self, GRACE, Renewer};
use crate::store::Store;

/// The parts that a command works with.
pub(super) struct App {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) clock: SystemClock,
    pub(super) trust: Trust,
    pub(super) stop: Stop,
    /// Nodes that hang, as was found out on the way.
    pub(super) away: BTreeSet<NodeName>,
    /// Where it is counted what was loaded.
    pub(super) pushes: Pushes,
}

/// Who asks to give up an order.
pub(super) enum Stop {
    /// The user of the program, by `SIGINT` or `SIGTERM`. Once nobody waits for them any more they have no effect: to load a
    /// certificate takes moments, and is better finished.
    Signals,
    /// The daemon in which this runs.
    Token(CancellationToken),
}

impl Stop {
    /// Waits for it, and in a daemon until an order that is under way has had its grace.
    pub(super) async fn asked(&self) {
        match self {
            Self::Token(token) => {
                token.cancelled().await;
                tokio::time::sleep(GRACE).await;
            }
            Self::Signals => {
                let (Ok(mut interrupt), Ok(mut terminate)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return std::future::pending().await;
                };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
        }
    }
}

impl App {
    /// Loads the configuration with the flags laid over it, opens the store, and recalls what it remembers.
    pub(super) fn load(global: &Global, flags: &Flags, output: &Output) -> Result<Self, Failure> {
        Self::open(Config::load(global.config.as_deref(), flags)?, output)
    }

    /// Opens the store of a configuration, and recalls what it remembers.
    pub(super) fn open(config: Config, output: &Output) -> Result<Self, Failure> {
        let store = Store::open(&config.state_dir)?;
        let app = Self::new(config, store, Stop::Signals)?;
        app.config.warnings.iter().for_each(|warning| output.say("warning", warning));
        Ok(app)
    }

    /// Adds what the store remembers to what is configured.
    pub(super) fn new(mut config: Config, store: Store, stop: Stop) -> Result<Self, Failure> {
        let (remembered, failures) = store.recall::<Remembered>()?;
        if let Some(error) = failures.into_iter().next() {
            return Err(error.into());
        }
        config.recall(remembered);
        Ok(Self {
            config,
            store,
            clock: SystemClock,
            trust: Trust::default(),
            stop,
            away: BTreeSet::new(),
            pushes: Pushes::default(),
        })
    }

    /// Reads the roots that may end a chain: those of the system, of `trust` and of the issuers.
    pub(super) fn with_trust(mut self) -> Result<Self, Failure> {
        let issuers = self.config.certificates.values().filter_map(|certificate| certificate.order.as_ref());
        let root_cas = issuers.flat_map(|order| &order.issuers).filter_map(|issuer| issuer.root_ca.as_ref());
        let files: BTreeSet<&PathBuf> = self.config.trust.iter().chain(root_cas).collect();
        let mut roots = rustls_native_certs::load_native_certs().certs;
        for file in files {
            let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            match found {
                Ok(found) if found.is_empty() => return Err(Failure::roots(file, pem::Error::NoItemsFound)),
                Ok(found) => roots.extend(found),
                Err(error) => return Err(Failure::roots(file, error)),
            }
        }
        for issuer in self.config.internal_issuers() {
            // One that does not exist yet has issued nothing, and one that is damaged is told of by whoever needs it.
            let text = self.store.internal_root(&issuer.name)?;
            roots.extend(text.and_then(|text| Some(Root::from_pem(&text).ok()?.certificate().clone())));
        }
        self.trust = Trust::new(roots);
        Ok(self)
    }

    /// Takes what other programs have written into the watched directories, and tells what could not be taken. A daemon watches them
    /// all the time, so there it is done already.
    pub(super) async fn look_at_files(self) -> Result<(Self, Vec<Problem>), Failure> {
        if self.config.watches.is_empty() || matches!(self.stop, Stop::Token(_)) {
            return Ok((self, Vec::new()));
        }
        let app = self.with_trust()?;
        let loaded = Loaded::new(app.config.clone(), app.trust.clone());
        let found = daemon::look_once(&app.store, Arc::new(SystemClock), Arc::new(SystemConnect), loaded).await;
        let problems = found.problems.iter().map(daemon::problem_with_file).collect();
        // There may be certificates among them that nobody has heard of before.
        let Self { config, store, trust, stop, .. } = app;
        Ok((Self { trust, ..Self::new(config, store, stop)? }, problems))
    }

    pub(super) fn reconciler(&self) -> Reconciler<'_> {
        Reconciler {
            config: &self.config,
            store: &self.store,
            clock: &self.clock,
            connect: &SystemConnect,
            stop: match &self.stop {
                Stop::Token(token) => token.clone(),
                Stop::Signals => CancellationToken::new(),
            },
            away: self.away.clone(),
            pushes: self.pushes.clone(),
            few: None,
        }
    }

    pub(super) fn renewer(&self) -> Renewer<'_> {
        let renewer = Renewer::new(&self.store, &self.clock, &self.trust).asking(&self.config.resolver);
        match &self.stop {
            Stop::Token(token) => renewer.stopped_by(token.clone()),
            Stop::Signals => renewer,
        }
    }

    /// Notes how things stood before a command, where nobody has before; a daemon does so by itself.
    pub(super) async fn listen(&self) {
        if self.is_told_by_others() || !matches!(self.store.told(), Ok(None)) {
            return;
        }
        let report = self.reconciler().refresh(None, &Report::merged(std::iter::empty()));
        if let Err(error) = events::tell(&self.store, &self.config.receivers, &report, false, self.clock.now()).await {
            tracing::warn!(error = %chain(&error), "what happens cannot be noted");
        }
    }

    /// Tells those who want to know what a command did; a daemon does so by itself. That it fails is no failure of the command.
    pub(super) async fn tell(&self, report: &Report) {
        if self.is_told_by_others() {
            return;
        }
        let telling = async {
            events::tell(&self.store, &self.config.receivers, report, false, self.clock.now()).await?;
            let receivers = || self.config.receivers.clone();
            events::deliver(&self.store, &receivers, &self.clock, &Notify::new()).await
        };
        if let Err(error) = telling.await {
            tracing::warn!(error = %chain(&error), "what happened could not be told");
        }
    }

    /// Tells those who want to know what could not be ordered. Of a certificate that is neither configured nor remembered nothing is
    /// noted, so that only the command knows; a daemon then delivers what is to be told.
    pub(super) async fn tell_failures(&self, failures: &[(CertName, renew::Error)]) {
        if self.config.receivers.is_empty() || failures.is_empty() {
            return;
        }
        let scope = failures.iter().map(|(name, _)| name.clone()).collect();
        let mut report = self.reconciler().refresh(Some(&scope), &Report::merged(std::iter::empty()));
        let is_noted = |name: &CertName| {
            report.certificates.iter().any(|certificate| certificate.name == *name && certificate.problem.is_some())
        };
        let unnoted = failures.iter().filter(|(name, _)| !is_noted(name));
        let problems = unnoted.map(|(name, error)| Problem {
            certificate: Some(name.clone()),
            node: None,
            file: None,
            // The same words as for one of which it was noted before.
            message: if let renew::Error::Held { problem, .. } = error { problem.clone() } else { chain(error) },
            hint: error.hint(),
        });
        report.problems = problems.collect();
        // What nodes serve was not looked at.
        report.certificates.iter_mut().for_each(|certificate| certificate.nodes.clear());
        if !self.is_told_by_others() {
            self.tell(&report).await;
        } else if !report.problems.is_empty() {
            report.certificates.clear();
            if let Err(error) =
                events::tell(&self.store, &self.config.receivers, &report, false, self.clock.now()).await
            {
                tracing::warn!(%error, "what happened cannot be noted");
            }
        }
    }

    fn is_told_by_others(&self) -> bool {
        self.config.receivers.is_empty() || matches!(self.stop, Stop::Token(_))
    }

    /// A certificate must be known.
    pub(super) fn known(&self, name: &CertName) -> Result<(), Failure> {
        if self.config.certificates.contains_key(name) {
            return Ok(());
        }
        let known: Vec<_> = self.config.configured_names().iter().map(ToString::to_string).collect();
        let hint = if known.is_empty() {
            "there is none yet: order one by `hotcert issue`, or push one by `hotcert push`".to_owned()
        } else {
            format!("the certificates are: {}", known.join(", "))
        };
        Err(Failure::usage(format!("there is no certificate {name}"), hint))
    }

    /// The certificates that a name stands for: one, or both kinds of it.
    pub(super) fn named(&self, name: &CertName) -> Result<BTreeSet<CertName>, Failure> {
        let named = self.config.named(name);
        if named.is_empty() {
            self.known(name)?;
        }
        Ok(named)
    }

    /// The same, where one may have named a generation: that is one of a single certificate.
    pub(super) fn named_with(&self, name: &CertName, generation: Option<u64>) -> Result<BTreeSet<CertName>, Failure> {
        let named = self.named(name)?;
        if generation.is_some() && named.len() > 1 {
            let either: Vec<_> = named.iter().map(ToString::to_string).collect();
            return Err(Failure::usage(
                format!("certificate {name} has two kinds, each with generations of its own"),
                format!("name one of them: {}", either.join(" or ")),
            ));
        }
        Ok(named)
    }

    /// The certificates that several names stand for.
    pub(super) fn all_named(&self, names: &[CertName]) -> Result<BTreeSet<CertName>, Failure> {
        names.iter().try_fold(BTreeSet::new(), |mut all, name| {
            all.extend(self.named(name)?);
            Ok(all)
        })
    }

    /// At least one node must be known.
    pub(super) fn some_nodes(&self) -> Result<(), Failure> {
        if self.config.nodes.is_empty() {
            return Err(Failure::usage(
                "no HAProxy is given",
                "name its stats socket by --socket /run/haproxy/admin.sock, or by a [haproxy.NAME] table in the configuration",
            ));
        }
        Ok(())
    }
}
