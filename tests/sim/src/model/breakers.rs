//! Breakers: a list of outcomes each, and what follows from it.
//!
//! How long one stays open is partly chance: the model knows the least and the most.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::breaker::{Gate, OnRateLimit, Outcome, Policy};
use weir::platform::Finding;
use weir::time::Instant;

use super::Wrong;

/// All breakers of one store by name.
#[derive(Debug, Default)]
pub(crate) struct Breakers(BTreeMap<String, Breaker>);

#[derive(Debug, Default)]
struct Breaker {
    outcomes: Vec<(Instant, Kind)>,
    openings: u32,
    open: Option<Open>,
    /// The call that tries it, and until when nobody else does.
    probe: Option<(u64, Instant)>,
}

/// When it lets the first call through: not before `least`, and from `most` on.
#[derive(Clone, Copy, Debug)]
struct Open {
    least: Instant,
    most: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Success,
    Failure,
    /// It counts as a call and ends no row of failures.
    Neither,
}

/// No open time is longer, but one that an upstream names.
const LONGEST: Duration = Duration::from_mins(5);
const LONGEST_NAMED: Duration = Duration::from_hours(1);
const LEASE: Duration = Duration::from_mins(1);

impl Breakers {
    /// The store has said this: can it be?
    pub(crate) fn gate(&self, name: &str, gate: Gate, now: Instant) -> Result<(), Wrong> {
        let nothing = Breaker::default();
        let breaker = self.0.get(name).unwrap_or(&nothing);
        let leased = breaker.probe.is_some_and(|(_, until)| until > now);
        let can_be = match (gate, breaker.open) {
            (Gate::Closed, open) => open.is_none(),
            // There is no operator here.
            (Gate::Open { .. } | Gate::HalfOpen, None) | (Gate::Forced(_), _) => false,
            (Gate::HalfOpen, Some(open)) => now >= open.least && !leased,
            (Gate::Open { until }, Some(open)) => until > now && (now < open.most || leased),
        };
        if can_be { Ok(()) } else { Err(format!("breaker {name} is {gate:?} at {now:?}, but {breaker:?}")) }
    }

    /// The store has leased its probe to the call `id`, or not.
    pub(crate) fn lease(&mut self, name: &str, id: u64, now: Instant) -> Result<(), Wrong> {
        let Some(breaker) = self.0.get_mut(name) else {
            return Err(format!("{name} has no breaker to probe"));
        };
        let is_half_open = breaker.open.is_some_and(|open| now >= open.least);
        let other = breaker.probe.filter(|(_, until)| *until > now);
        if !is_half_open || other.is_some() {
            return Err(format!("a probe of {name} goes at {now:?}, but {breaker:?}"));
        }
        breaker.probe = Some((id, now.after(LEASE)));
        Ok(())
    }

    /// The breakers that the call `id` is the probe of.
    pub(crate) fn leased_to(&self, id: u64, now: Instant) -> impl Iterator<Item = &str> {
        let holds = move |breaker: &Breaker| breaker.probe.is_some_and(|(to, until)| to == id && until > now);
        self.0.iter().filter(move |(_, breaker)| holds(breaker)).map(|(name, _)| name.as_str())
    }

    pub(crate) fn release(&mut self, name: &str, id: u64) {
        if let Some(breaker) = self.0.get_mut(name) {
            breaker.probe = breaker.probe.filter(|(to, _)| *to != id);
        }
    }

    /// The store is told how a call went.
    pub(crate) fn observe(&mut self, finding: &Finding, id: u64, now: Instant) {
        let Finding { breaker, policy, outcome } = finding;
        let breaker = self.0.entry(breaker.clone()).or_default();
        let is_probe = breaker.probe.is_some_and(|(to, _)| to == id);
        let (kind, named) = match (*outcome, policy.on_rate_limit) {
            (Outcome::Success, _) => (Kind::Success, None),
            (Outcome::RateLimited { .. }, OnRateLimit::Ignore) => (Kind::Neither, None),
            (Outcome::RateLimited { retry_after }, OnRateLimit::Open) => (Kind::Failure, retry_after),
            (Outcome::RateLimited { .. }, OnRateLimit::Count) | (Outcome::Failure, _) => {
                (Kind::Failure, None)
            }
        };
        if is_probe {
            breaker.probe = None;
        }
        match kind {
            Kind::Success if is_probe => *breaker = Breaker::default(),
            Kind::Neither if is_probe => return,
            Kind::Success if breaker.open.is_none() => breaker.openings = 0,
            Kind::Success | Kind::Neither | Kind::Failure => {}
        }
        breaker.outcomes.push((now, kind));
        if kind == Kind::Failure {
            let trips = is_probe || (breaker.open.is_none() && breaker.is_over(policy, now));
            if trips {
                breaker.openings += 1;
                let doubled = policy.open.saturating_mul(1 << (breaker.openings - 1).min(16));
                let least = doubled.min(LONGEST.max(policy.open));
                breaker.open_until(now.after(least), now.after(least + least / 10));
            }
            if let Some(named) = named {
                let until = now.after(named.min(LONGEST_NAMED));
                breaker.open_until(until, until);
            }
        }
    }
}

impl Breaker {
    /// A later, shorter time never replaces a longer one.
    fn open_until(&mut self, least: Instant, most: Instant) {
        let open = self.open.unwrap_or(Open { least, most });
        self.open = Some(Open { least: open.least.max(least), most: open.most.max(most) });
    }

    fn is_over(&self, policy: &Policy, now: Instant) -> bool {
        let known = self.outcomes.iter().rev().filter(|(_, kind)| *kind != Kind::Neither);
        let in_a_row = known.take_while(|(_, kind)| *kind == Kind::Failure).count();
        // The window moves by tenths of itself.
        let tenth = (policy.window.as_micros() / 10).max(1);
        let number = |at: Instant| u128::from(at.as_micros()) / tenth;
        let recent = self.outcomes.iter().filter(|(at, _)| number(*at) + 10 > number(now));
        let kinds: Vec<Kind> = recent.map(|(_, kind)| *kind).collect();
        let failures = kinds.iter().filter(|kind| **kind == Kind::Failure).count() as u64;
        let (calls, rate) = (kinds.len() as u64, u64::from(policy.failure_rate));
        let is_over_rate =
            failures > 0 && calls >= u64::from(policy.minimum) && failures * 1_000_000 >= calls * rate;
        in_a_row as u64 >= u64::from(policy.consecutive) || is_over_rate
    }
}
