//! Which solver answers for which name: the first that fits, until it has failed.

use std::collections::BTreeSet;

use super::Error;
use crate::config::{Certificate, Solver};
use crate::model::{ChallengeKind, Identifier, chain};

/// The solvers of a certificate in order of preference, and where they have failed.
pub(super) struct Choice<'a> {
    solvers: &'a [Solver],
    /// Names with the solvers that did not prove them.
    failed: BTreeSet<(Identifier, &'a str)>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(solvers: &'a [Solver]) -> Self {
        Self { solvers, failed: BTreeSet::new() }
    }

    /// The solver that answers for a name.
    pub(super) fn of(&self, name: &Identifier) -> Option<&'a Solver> {
        self.of_kinds(name, &ChallengeKind::ALL)
    }

    /// The solver that answers for a name, where the authority offers these kinds of challenge.
    pub(super) fn of_kinds(&self, name: &Identifier, kinds: &[ChallengeKind]) -> Option<&'a Solver> {
        let has_failed = |solver: &Solver| self.failed.iter().any(|(of, failed)| of == name && *failed == solver.name);
        self.solvers.iter().find(|solver| solver.fits(name) && kinds.contains(&solver.kind()) && !has_failed(solver))
    }

    /// Whether a solver of one of these kinds may come to answer for a name.
    pub(super) fn may_be(&self, name: &Identifier, kinds: &[ChallengeKind]) -> bool {
        self.solvers.iter().any(|solver| solver.fits(name) && kinds.contains(&solver.kind()))
    }

    /// Notes that a solver did not prove a name, for this reason; whether there is another one that may.
    pub(super) fn give_up(&mut self, name: &Identifier, solver: &'a Solver, reason: &Error) -> bool {
        self.failed.insert((name.clone(), &solver.name));
        let next = self.of(name);
        if let Some(next) = next {
            tracing::warn!(%name, solver = solver.name, next = next.name, error = %chain(reason), "another solver is tried");
        }
        next.is_some()
    }
}

/// Checks what can be known before anything is asked: that there is a solver for each name.
pub fn check(certificate: &Certificate) -> Result<(), Error> {
    let Some(order) = certificate.order.as_ref().filter(|order| !order.is_internal()) else { return Ok(()) };
    let is_proved = |name: &&Identifier| order.solvers.iter().any(|solver| solver.fits(name));
    match certificate.domains.iter().find(|name| !is_proved(name)) {
        Some(name) => Err(Error::Unprovable { reason: Solver::unprovable(name, &order.solvers), name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solver(name: &str, names: &[&str]) -> Solver {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Solver { name: name.to_owned(), names, ..Solver::default_listener() }
    }

    #[test]
    fn the_first_solver_that_fits_answers_until_it_has_failed() {
        let solvers = [solver("of-b", &["b.test"]), solver("first", &[]), solver("second", &[])];
        let mut choice = Choice::new(&solvers);
        let (a, b): (Identifier, Identifier) = ("a.test".parse().unwrap(), "b.test".parse().unwrap());
        let chosen = |choice: &Choice<'_>, name| choice.of(name).map(|solver| solver.name.clone());
        assert_eq!(chosen(&choice, &a).as_deref(), Some("first"));
        assert_eq!(chosen(&choice, &b).as_deref(), Some("of-b"));
        let reason = Error::Unprovable { name: a.clone(), reason: String::new() };
        assert!(choice.give_up(&a, &solvers[1], &reason));
        assert_eq!(chosen(&choice, &a).as_deref(), Some("second"));
        assert_eq!(chosen(&choice, &b).as_deref(), Some("of-b"));
        assert!(!choice.give_up(&a, &solvers[2], &reason));
        assert_eq!(chosen(&choice, &a), None);
        assert!(choice.of_kinds(&b, &[ChallengeKind::Dns01]).is_none());
    }
}
