//! Breakers: a list of outcomes each, and what follows from it; a call needs that of its model and that of the upstream.
//!
//! How long one stays open is partly chance: the model knows the least and the most.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::routing::breaker::{FaultScope, Gate, OnRateLimit, Outcome, Policy};
use weir::store::protocol::Finding;
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
    /// Of which callers.
    timeouts: Vec<(u64, Instant)>,
    /// When a connection last broke that was no part of an earlier moment.
    broke: Option<Instant>,
}

fn tenth(policy: &Policy) -> u128 {
    (policy.window.as_micros() / 10).max(1)
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

/// The names of those that a call to `name` needs: a model's, and its upstream's.
fn needed(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.split_once('/').map(|(upstream, _)| upstream))
}

impl Breakers {
    /// The store has said this of a call that needs `name`: can it be?
    pub(crate) fn gate(&self, name: &str, gate: Gate, now: Instant) -> Result<(), Wrong> {
        let breakers: Vec<&Breaker> = needed(name).filter_map(|name| self.0.get(name)).collect();
        let open = || breakers.iter().filter_map(|breaker| Some((breaker.open?, breaker.is_leased(now))));
        let can_be = match gate {
            Gate::Closed => open().next().is_none(),
            // There is no operator here.
            Gate::Forced(_) => false,
            Gate::HalfOpen => {
                open().next().is_some() && open().all(|(open, is_leased)| now >= open.least && !is_leased)
            }
            Gate::Open { until } => {
                until > now && open().any(|(open, is_leased)| now < open.most || is_leased)
            }
        };
        if can_be { Ok(()) } else { Err(format!("breaker {name} is {gate:?} at {now:?}, but {breakers:?}")) }
    }

    /// The store has let the call `id` go by breakers of which one at least was half-open: it is the probe of each that
    /// is open.
    pub(crate) fn lease(&mut self, name: &str, id: u64, now: Instant) -> Result<(), Wrong> {
        for name in needed(name) {
            let Some(breaker) = self.0.get_mut(name) else { continue };
            let Some(open) = breaker.open else { continue };
            if now < open.least || breaker.is_leased(now) {
                return Err(format!("a probe of {name} goes at {now:?}, but {breaker:?}"));
            }
            breaker.probe = Some((id, now.after(LEASE)));
        }
        Ok(())
    }

    /// The breakers that the call `id` is the probe of.
    pub(crate) fn leased_to(&self, id: u64, now: Instant) -> impl Iterator<Item = &str> {
        let holds = move |breaker: &Breaker| breaker.probe.is_some_and(|(to, until)| to == id && until > now);
        self.0.iter().filter(move |(_, breaker)| holds(breaker)).map(|(name, _)| name.as_str())
    }

    pub(crate) fn release(&mut self, name: &str, id: u64) {
        for name in needed(name) {
            if let Some(breaker) = self.0.get_mut(name) {
                breaker.give_up(id);
            }
        }
    }

    /// The store is told how a call went.
    pub(crate) fn observe(&mut self, finding: &Finding, id: u64, now: Instant) {
        let Finding { breaker: name, policies, outcome } = finding;
        for name in needed(name) {
            let is_whole = !name.contains('/');
            let is_both = finding.breaker.contains('/');
            let blames_whole = outcome.scope() == Some(FaultScope::Upstream);
            let policy = if is_whole { &policies.upstream } else { &policies.model };
            let breaker = self.0.entry(name.to_owned()).or_default();
            let said = match outcome {
                // Somebody is silent: nobody knows whether the whole is.
                Outcome::Timeout { .. } if is_both && is_whole => None,
                // It is there, and answers.
                Outcome::Failure { .. } | Outcome::Break { .. } | Outcome::RateLimited { .. }
                    if is_both && is_whole && !blames_whole =>
                {
                    Some(Outcome::Success)
                }
                // The model was not reached.
                Outcome::Failure { .. } | Outcome::Break { .. } | Outcome::RateLimited { .. }
                    if is_both && !is_whole && blames_whole =>
                {
                    None
                }
                Outcome::Success
                | Outcome::Timeout { .. }
                | Outcome::Failure { .. }
                | Outcome::Break { .. }
                | Outcome::RateLimited { .. } => Some(*outcome),
            };
            match said {
                Some(outcome) => breaker.observe(policy, outcome, id, now),
                None => breaker.give_up(id),
            }
            if is_whole && is_both && !blames_whole && matches!(outcome, Outcome::Break { .. }) {
                breaker.breaks(now);
            }
        }
    }
}

impl Breaker {
    fn is_leased(&self, now: Instant) -> bool {
        self.probe.is_some_and(|(_, until)| until > now)
    }

    /// A second is one event. Whether it is a new one.
    fn breaks(&mut self, now: Instant) -> bool {
        let is_new = !self.is_broken(now);
        if is_new {
            self.broke = Some(now);
        }
        is_new
    }

    fn is_broken(&self, now: Instant) -> bool {
        self.broke.is_some_and(|at| at <= now && now.since(at) < Duration::from_secs(1))
    }

    fn give_up(&mut self, id: u64) {
        self.probe = self.probe.filter(|(to, _)| *to != id);
    }

    fn observe(&mut self, policy: &Policy, outcome: Outcome, id: u64, now: Instant) {
        let is_probe = self.probe.is_some_and(|(to, _)| to == id);
        let (kind, named) = match (outcome, policy.on_rate_limit) {
            (Outcome::Success, _) => (Kind::Success, None),
            (Outcome::RateLimited { .. }, OnRateLimit::Ignore) => (Kind::Neither, None),
            (Outcome::RateLimited { retry_after, .. }, OnRateLimit::Open) => (Kind::Failure, retry_after),
            (Outcome::Timeout { caller }, _) => {
                let others = self
                    .timeouts
                    .iter()
                    .any(|(other, at)| *other != caller && now.since(*at).as_micros() < tenth(policy) * 10);
                self.timeouts.push((caller, now));
                if !others && !is_probe {
                    return;
                }
                (Kind::Failure, None)
            }
            (Outcome::Break { scope }, _) => {
                let is_repeated = match scope {
                    FaultScope::Model => !self.breaks(now),
                    FaultScope::Upstream => self.is_broken(now),
                };
                if is_repeated && !is_probe {
                    return;
                }
                (Kind::Failure, None)
            }
            (Outcome::RateLimited { .. }, OnRateLimit::Count) | (Outcome::Failure { .. }, _) => {
                (Kind::Failure, None)
            }
        };
        if is_probe {
            self.probe = None;
        }
        match kind {
            Kind::Success if is_probe => *self = Self::default(),
            Kind::Neither if is_probe => return,
            Kind::Success if self.open.is_none() => self.openings = 0,
            Kind::Success | Kind::Neither | Kind::Failure => {}
        }
        self.outcomes.push((now, kind));
        if kind == Kind::Failure {
            let trips = is_probe || (self.open.is_none() && self.is_over(policy, now));
            if trips {
                self.openings += 1;
                let doubled = policy.open.saturating_mul(1 << (self.openings - 1).min(16));
                let least = doubled.min(LONGEST.max(policy.open));
                self.open_until(now.after(least), now.after(least + least / 10));
            }
            if let Some(named) = named {
                let until = now.after(named.min(LONGEST_NAMED));
                self.open_until(until, until);
            }
        }
    }

    /// A later, shorter time never replaces a longer one.
    fn open_until(&mut self, least: Instant, most: Instant) {
        let open = self.open.unwrap_or(Open { least, most });
        self.open = Some(Open { least: open.least.max(least), most: open.most.max(most) });
    }

    fn is_over(&self, policy: &Policy, now: Instant) -> bool {
        let known = self.outcomes.iter().rev().filter(|(_, kind)| *kind != Kind::Neither);
        let in_a_row = known.take_while(|(_, kind)| *kind == Kind::Failure).count();
        // The window moves by tenths of itself.
        let tenth = tenth(policy);
        let number = |at: Instant| u128::from(at.as_micros()) / tenth;
        let recent = self.outcomes.iter().filter(|(at, _)| number(*at) + 10 > number(now));
        let kinds: Vec<Kind> = recent.map(|(_, kind)| *kind).collect();
        let failures = kinds.iter().filter(|kind| **kind == Kind::Failure).count() as u64;
        let (calls, rate) = (kinds.len() as u64, u64::from(policy.failure_rate()));
        let is_over_rate =
            failures > 0 && calls >= u64::from(policy.minimum) && failures * 1_000_000 >= calls * rate;
        in_a_row as u64 >= u64::from(policy.consecutive) || is_over_rate
    }
}
