//! Breakers in one process: bounded in number, by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::routing::breaker::control::{Entry, Forced, Full, Listing, Order, Override, Overrides};
use crate::routing::breaker::{Breaker, FaultScope, Gate, Outcome, Policies, Policy, Report};
use crate::store::protocol::Finding;
use crate::time::Instant;

/// Breakers at most that are listed unasked.
pub(crate) const MOST_LISTED: usize = 1000;

/// The breakers of an embedded store, and what operators say of them. The steps are synchronous; whoever
/// shares it locks it.
#[derive(Debug)]
pub(crate) struct Breakers {
    by_name: BTreeMap<String, Breaker>,
    overrides: Overrides,
    most: usize,
}

impl Breakers {
    /// Holds at most `most`: where each model has its own, clients can make up names. Beyond that, those that are
    /// closed are forgotten, and if none is, what is new is not watched.
    pub(crate) fn new(most: usize, overrides: Overrides) -> Self {
        Self { by_name: BTreeMap::new(), overrides, most }
    }

    pub(crate) fn gate(&self, name: &str, now: Instant) -> Gate {
        self.overrides.find(name, now).map_or_else(|| self.both(name, now), Gate::Forced)
    }

    /// The same, and no time of a clock that was ahead keeps anybody out.
    pub(crate) fn clamped_gate(&mut self, name: &str, now: Instant) -> Gate {
        self.clamp(name, now);
        self.gate(name, now)
    }

    fn clamp(&mut self, name: &str, now: Instant) {
        for name in std::iter::once(name).chain(upstream(name)) {
            if let Some(breaker) = self.by_name.get_mut(name) {
                breaker.clamp(now);
            }
        }
    }

    /// What is known of a breaker, and what was ordered for this very name.
    pub(crate) fn find(&self, name: &str) -> Option<&Breaker> {
        self.by_name.get(name)
    }

    pub(crate) fn ordered(&self, name: &str, now: Instant) -> Option<Override> {
        self.overrides.own(name, now)
    }

    /// Takes in what was kept of a breaker, if there is room.
    pub(crate) fn restore(&mut self, name: String, breaker: Breaker) {
        if self.by_name.len() < self.most {
            self.by_name.insert(name, breaker);
        }
    }

    pub(crate) fn restore_order(&mut self, name: String, held: Override) {
        self.overrides.restore(name, held);
    }

    /// What the breaker says by itself.
    fn automatic(&self, name: &str, now: Instant) -> Gate {
        self.by_name.get(name).map_or(Gate::Closed, |breaker| breaker.gate(now))
    }

    /// What the breaker and its upstream's say together.
    fn both(&self, name: &str, now: Instant) -> Gate {
        let own = self.automatic(name, now);
        upstream(name).map_or(own, |upstream| own.and(self.automatic(upstream, now)))
    }

    /// Leases the probes of those of a deployment that are half-open, all or none of them. Whether the call may go.
    pub(crate) fn lease_probe(&mut self, name: &str, id: u64, now: Instant) -> bool {
        self.clamp(name, now);
        let may_go = match self.overrides.find(name, now).map(|known| known.forced) {
            // Ordered since the gate was read.
            Some(Forced::Open) => false,
            Some(Forced::Closed) => true,
            None => !self.both(name, now).is_open(),
        };
        if may_go {
            for name in std::iter::once(name).chain(upstream(name)) {
                self.by_name.get_mut(name).map(|breaker| breaker.probe(id, now));
            }
        }
        may_go
    }

    pub(crate) fn obey(&mut self, order: &Order, now: Instant) -> Result<Entry, Full> {
        self.clamp(&order.breaker, now);
        self.overrides.obey(order, now)?;
        Ok(self.entry(&order.breaker, now))
    }

    /// The breakers of these names, those with an override, and of the others those that are not closed.
    pub(crate) fn listing(&mut self, names: &[String], now: Instant) -> Listing {
        self.by_name.values_mut().for_each(|breaker| breaker.clamp(now));
        let asked = names.iter().map(String::as_str);
        let mut listed: BTreeSet<&str> = asked.chain(self.overrides.names(now)).collect();
        let open = self.by_name.iter().filter(|(_, breaker)| breaker.gate(now) != Gate::Closed);
        let mut others = open.map(|(name, _)| name.as_str()).filter(|name| !listed.contains(name));
        let unasked: Vec<&str> = others.by_ref().take(MOST_LISTED).collect();
        let has_more = others.next().is_some();
        listed.extend(unasked);
        Listing { entries: listed.into_iter().map(|name| self.entry(name, now)).collect(), has_more }
    }

    fn entry(&self, name: &str, now: Instant) -> Entry {
        Entry {
            breaker: name.to_owned(),
            gate: self.gate(name, now),
            automatic: self.automatic(name, now),
            own: self.overrides.own(name, now),
        }
    }

    /// Tells the breaker, and its upstream's where it is a model's.
    pub(crate) fn observe(&mut self, finding: &Finding, report: Report) {
        let Finding { breaker: name, policies, outcome } = finding;
        let Some(upstream) = upstream(name) else {
            return self.learn(name, &policies.upstream, Some(*outcome), report);
        };
        self.learn(name, &policies.model, outcome.toward(FaultScope::Model), report);
        self.learn(upstream, &policies.upstream, outcome.toward(FaultScope::Upstream), report);
        if *outcome == (Outcome::Break { scope: FaultScope::Model })
            && let Some(breaker) = self.watched(upstream, report.now)
        {
            breaker.breaks(report.now);
        }
    }

    /// What says nothing leaves a probe to the next.
    fn learn(&mut self, name: &str, policy: &Policy, outcome: Option<Outcome>, report: Report) {
        match outcome {
            Some(outcome) => {
                if let Some(breaker) = self.watched(name, report.now) {
                    breaker.observe(policy, outcome, report);
                }
            }
            None => {
                if let Some(breaker) = self.by_name.get_mut(name) {
                    breaker.release(report.id);
                }
            }
        }
    }

    /// Takes note of so many calls that went well, none of them a probe.
    pub(crate) fn succeed(&mut self, name: &str, policies: &Policies, calls: u32, now: Instant) {
        for name in std::iter::once(name).chain(upstream(name)) {
            let policy = policies.of(scope(name));
            if let Some(breaker) = self.watched(name, now) {
                breaker.succeed(policy, calls, now);
            }
        }
    }

    /// The breaker of this name, unless there is no room for a new one. Upstreams are named by the configuration, and
    /// there is always room for theirs.
    fn watched(&mut self, name: &str, now: Instant) -> Option<&mut Breaker> {
        if !self.by_name.contains_key(name) && scope(name) == FaultScope::Model {
            if self.by_name.len() >= self.most {
                self.by_name.retain(|name, breaker| {
                    scope(name) == FaultScope::Upstream || breaker.gate(now) != Gate::Closed
                });
            }
            if self.by_name.len() >= self.most {
                return None;
            }
        }
        Some(self.by_name.entry(name.to_owned()).or_default())
    }

    /// The probe came to nothing; both leases go back.
    pub(crate) fn release(&mut self, name: &str, id: u64) {
        for name in std::iter::once(name).chain(upstream(name)) {
            if let Some(breaker) = self.by_name.get_mut(name) {
                breaker.release(id);
            }
        }
    }
}

/// The name of the breaker of the whole upstream, where `name` is that of a model's.
fn upstream(name: &str) -> Option<&str> {
    // No upstream's name has a slash in it.
    name.split_once('/').map(|(upstream, _)| upstream)
}

fn scope(name: &str) -> FaultScope {
    if name.contains('/') { FaultScope::Model } else { FaultScope::Upstream }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::routing::breaker::control::Change;

    const FAILURE: Outcome = Outcome::Failure { scope: FaultScope::Model };

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn observe(breakers: &mut Breakers, name: &str, outcome: Outcome, report: (u64, Instant)) {
        let finding = Finding { breaker: name.to_owned(), policies: Policies::default(), outcome };
        breakers.observe(&finding, Report { id: report.0, now: report.1, roll: 0 });
    }

    fn force(breakers: &mut Breakers, name: &str, forced: Forced, now: Instant) -> Entry {
        let change = Change::Force { forced, lasting: Some(Duration::from_secs(10)) };
        breakers.obey(&Order { breaker: name.into(), change }, now).unwrap()
    }

    #[test]
    fn made_up_names_do_not_make_memory_nor_close_what_is_open() {
        let mut breakers = Breakers::new(100, Overrides::new(1));
        for id in 0..5 {
            observe(&mut breakers, "up/spent", FAILURE, (id, at(1)));
        }
        for id in 0..10_000 {
            observe(&mut breakers, &format!("up/made-up-{id}"), Outcome::Success, (id, at(1)));
        }
        assert!(breakers.by_name.len() <= 101);
        assert!(matches!(breakers.gate("up/spent", at(1)), Gate::Open { .. }));
    }

    #[test]
    fn a_call_goes_only_if_both_gates_let_it_and_one_probe_goes_for_each() {
        let mut breakers = Breakers::new(100, Overrides::new(1));
        for id in 0..5 {
            observe(&mut breakers, "up/m", FAILURE, (id, at(0)));
        }
        assert_eq!(breakers.gate("up/m", at(0)), Gate::Open { until: at(30) });
        assert_eq!([breakers.gate("up/n", at(0)), breakers.gate("up", at(0))], [Gate::Closed; 2]);
        let refused = Outcome::Failure { scope: FaultScope::Upstream };
        for id in 0..5 {
            observe(&mut breakers, "up/n", refused, (id, at(10)));
        }
        for (name, until) in [("up/n", 40), ("up/m", 40), ("up/new", 40), ("up", 40)] {
            assert_eq!(breakers.gate(name, at(10)), Gate::Open { until: at(until) }, "{name}");
        }
        assert_eq!(breakers.gate("up/m", at(40)), Gate::HalfOpen);
        assert!(breakers.lease_probe("up/m", 7, at(40)));
        assert!(!breakers.lease_probe("up/n", 8, at(40)), "the upstream's probe is on its way");
        // The upstream takes our credential again, and the model still fails.
        observe(&mut breakers, "up/m", FAILURE, (7, at(41)));
        assert_eq!(breakers.gate("up/n", at(41)), Gate::Closed);
        assert_eq!(breakers.gate("up/m", at(41)), Gate::Open { until: at(101) });
    }

    #[test]
    fn a_restart_that_breaks_and_then_refuses_connections_is_one_failure() {
        let mut breakers = Breakers::new(100, Overrides::new(1));
        for id in 0..8 {
            observe(&mut breakers, "up/m", Outcome::Break { scope: FaultScope::Model }, (id, at(0)));
        }
        let refused = Outcome::Break { scope: FaultScope::Upstream };
        for id in 10..18 {
            observe(&mut breakers, "up/m", refused, (id, at(0)));
        }
        assert_eq!(breakers.gate("up/m", at(0)), Gate::Closed);
        for id in 20..25 {
            observe(&mut breakers, "up/m", refused, (id, at(1)));
        }
        assert!(breakers.gate("up/m", at(1)).is_open(), "it is not back");
    }

    #[test]
    fn a_probe_that_learns_nothing_of_the_model_leaves_it_to_the_next() {
        let mut breakers = Breakers::new(100, Overrides::new(1));
        for id in 0..5 {
            observe(&mut breakers, "up/m", FAILURE, (id, at(0)));
        }
        assert!(breakers.lease_probe("up/m", 7, at(30)));
        observe(&mut breakers, "up/m", Outcome::Failure { scope: FaultScope::Upstream }, (7, at(31)));
        assert_eq!(breakers.gate("up/m", at(31)), Gate::HalfOpen);
    }

    #[test]
    fn there_is_always_room_for_an_upstream() {
        let mut breakers = Breakers::new(3, Overrides::new(1));
        for name in 0..9 {
            for id in 0..5 {
                observe(&mut breakers, &format!("up/made-up-{name}"), FAILURE, (id, at(1)));
            }
        }
        assert_eq!(breakers.by_name.len(), 3);
        for id in 0..5 {
            observe(&mut breakers, "other/m", Outcome::Failure { scope: FaultScope::Upstream }, (id, at(2)));
        }
        assert!(breakers.gate("other/m", at(2)).is_open());
    }

    #[test]
    fn beneath_an_override_findings_are_counted() {
        let mut breakers = Breakers::new(100, Overrides::new(1));
        let entry = force(&mut breakers, "a", Forced::Closed, at(0));
        let held = Override { forced: Forced::Closed, until: Some(at(10)) };
        let expected =
            Entry { breaker: "a".into(), gate: Gate::Forced(held), automatic: Gate::Closed, own: Some(held) };
        assert_eq!(entry, expected);
        for id in 0..5 {
            observe(&mut breakers, "a", FAILURE, (id, at(1)));
            assert_eq!(breakers.gate("a", at(1)), Gate::Forced(held));
        }
        assert_eq!(breakers.listing(&[], at(1)).entries[0].automatic, Gate::Open { until: at(31) });
        assert_eq!(breakers.gate("a", at(10)), Gate::Open { until: at(31) }, "the override has ended");
    }

    /// Invariant 2: an order that comes between the look at the gate and the lease holds.
    #[test]
    fn a_probe_is_leased_as_the_operator_says() {
        for (forced, first, second) in
            [(None, true, false), (Some(Forced::Open), false, false), (Some(Forced::Closed), true, true)]
        {
            let mut breakers = Breakers::new(100, Overrides::new(1));
            for id in 0..5 {
                observe(&mut breakers, "a", FAILURE, (id, at(0)));
            }
            assert_eq!(breakers.gate("a", at(30)), Gate::HalfOpen);
            if let Some(forced) = forced {
                force(&mut breakers, "a", forced, at(30));
            }
            let leased = [7, 8].map(|id| breakers.lease_probe("a", id, at(30)));
            assert_eq!(leased, [first, second], "{forced:?}");
        }
    }

    #[test]
    fn what_is_listed_unasked_is_bounded() {
        let mut breakers = Breakers::new(3000, Overrides::new(1));
        for name in 0..=MOST_LISTED {
            for id in 0..5 {
                observe(&mut breakers, &format!("open/{name}"), FAILURE, (id, at(0)));
            }
        }
        observe(&mut breakers, "closed", Outcome::Success, (1, at(0)));
        force(&mut breakers, "forced", Forced::Open, at(0));
        let listing = breakers.listing(&["asked".into()], at(0));
        assert_eq!((listing.entries.len(), listing.has_more), (MOST_LISTED + 2, true));
        let names: Vec<_> = listing.entries.iter().map(|entry| entry.breaker.as_str()).collect();
        assert!(names.contains(&"asked") && names.contains(&"forced") && !names.contains(&"closed"));
    }
}
