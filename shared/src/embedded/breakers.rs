//! Breakers in one process: bounded in number, by name.

use std::collections::BTreeMap;

use crate::breaker::{Breaker, Gate, Report};
use crate::platform::Finding;
use crate::time::Instant;

/// The breakers of an embedded store. The steps are synchronous; whoever shares it locks it.
#[derive(Debug)]
pub(super) struct Breakers {
    breakers: BTreeMap<String, Breaker>,
    most: usize,
}

impl Breakers {
    /// Holds at most `most`: where each model has its own, clients can make up names. Beyond that, those that are
    /// closed are forgotten, and if none is, what is new is not watched.
    pub(super) fn new(most: usize) -> Self {
        Self { breakers: BTreeMap::new(), most }
    }

    pub(super) fn gate(&self, name: &str, now: Instant) -> Gate {
        self.breakers.get(name).map_or(Gate::Closed, |breaker| breaker.gate(now))
    }

    pub(super) fn lease_probe(&mut self, name: &str, id: u64, now: Instant) -> bool {
        self.breakers.get_mut(name).is_some_and(|breaker| breaker.probe(id, now))
    }

    pub(super) fn observe(&mut self, finding: &Finding, report: Report) {
        if !self.breakers.contains_key(&finding.breaker) {
            if self.breakers.len() >= self.most {
                self.breakers.retain(|_, breaker| breaker.gate(report.now) != Gate::Closed);
            }
            if self.breakers.len() >= self.most {
                return;
            }
        }
        let breaker = self.breakers.entry(finding.breaker.clone()).or_default();
        breaker.observe(&finding.policy, finding.outcome, report);
    }

    pub(super) fn release(&mut self, name: &str, id: u64) {
        if let Some(breaker) = self.breakers.get_mut(name) {
            breaker.release(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Outcome, Policy};

    #[test]
    fn made_up_names_do_not_make_memory_nor_close_what_is_open() {
        let mut breakers = Breakers::new(100);
        let now = Instant::from_micros(1);
        let mut observe = |name: String, outcome, id| {
            let finding = Finding { breaker: name, policy: Policy::default(), outcome };
            breakers.observe(&finding, Report { id, now, roll: 0 });
        };
        for id in 0..5 {
            observe("spent".into(), Outcome::Failure, id);
        }
        for id in 0..10_000 {
            observe(format!("made-up-{id}"), Outcome::Success, id);
        }
        assert!(breakers.breakers.len() <= 100);
        assert!(matches!(breakers.gate("spent", now), Gate::Open { .. }));
    }
}
