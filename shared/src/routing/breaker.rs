//! Circuit breakers: when an upstream that fails is left alone, and how it is tried again.
//!
//! A breaker opens on failures in a row or on a rate of them over a rolling window. While it is open nothing is
//! sent. When its time is over one real call goes through as a probe, and only one, however many replicas there
//! are: the probe is a lease. Its success closes the breaker; its failure opens it again for twice as long, up to
//! a bound. An upstream that names a time (Retry-After) is left alone at least until then, and a later, shorter
//! time never replaces a longer one. The semantics are Envoy's and Linkerd's; the numbers are in
//! [`Policy::default`].
//!
//! There are two scopes. `UPSTREAM/MODEL` learns what concerns one model of an upstream, `UPSTREAM` what concerns the
//! whole of it, and a call goes only if both let it. Only what an upstream did wrong to anyone counts ([`Blame`]):
//! attempts of one request at one candidate count once, and a timeout counts only where another caller met one
//! as well, for it may be the caller's own long work. One event breaks many calls: a cut connection all of its streams, a
//! restart all connections. So breaks of connections count once in a moment, which is a second.
//!
//! A small record and pure steps: the same arithmetic runs in a process, in a Redis script and in a Durable
//! Object.

pub mod control;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::control::{Forced, Override};
use crate::ledger::failure::Condition;
use crate::random::below;
use crate::time::Instant;
use crate::wire::pack::packed;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row.
    pub consecutive: u32,
    /// Failures of the calls in `window`, in millionths. `None`: by whether the route has somewhere else to go.
    pub failure_rate: Option<u32>,
    pub window: Duration,
    /// Calls in `window` below which there is no rate.
    pub minimum: u32,
    /// The first open time.
    pub open: Duration,
    pub on_rate_limit: OnRateLimit,
}

/// What a 429 is to a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRateLimit {
    /// A failure; with a Retry-After, it opens the breaker until then.
    #[default]
    Open,
    /// A failure like any other.
    Count,
    /// The caller's affair.
    Ignore,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_rate: None,
            window: Duration::from_secs(10),
            minimum: 20,
            open: Duration::from_secs(30),
            on_rate_limit: OnRateLimit::Open,
        }
    }
}

/// The failure rate where a route has another candidate to send its calls to, in millionths.
pub const RATE_WITH_OTHERS: u32 = 50_000;

/// The failure rate where a candidate is the only one: to leave it alone answers nobody, so a loss of a few per cent must
/// not become a total one.
pub const RATE_ALONE: u32 = 500_000;

impl Policy {
    /// The rate that opens a breaker.
    pub fn failure_rate(&self) -> u32 {
        self.failure_rate.unwrap_or(RATE_WITH_OTHERS)
    }

    /// The policy for calls of a route that has, or has not, somewhere else to go.
    #[must_use]
    pub(crate) fn on_a_route(self, alternatives: Alternatives) -> Self {
        let default = match alternatives {
            Alternatives::Some => RATE_WITH_OTHERS,
            Alternatives::None => RATE_ALONE,
        };
        Self { failure_rate: self.failure_rate.or(Some(default)), ..self }
    }

    /// A tenth of the window, in microseconds.
    pub(crate) fn tenth(&self) -> u64 {
        let tenth = (self.window.as_micros() / BUCKETS as u128).max(1);
        u64::try_from(tenth).unwrap_or(u64::MAX)
    }
}

/// Whether a route has somewhere else to send a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alternatives {
    Some,
    None,
}

/// When each of the two breakers of a deployment opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub model: Policy,
    pub upstream: Policy,
}

impl Policies {
    /// One for both.
    pub const fn both(policy: Policy) -> Self {
        Self { model: policy, upstream: policy }
    }

    /// Of a call that can go nowhere else.
    pub(crate) fn alone(policy: Policy) -> Self {
        Self::both(policy.on_a_route(Alternatives::None))
    }

    pub const fn of(&self, scope: FaultScope) -> &Policy {
        match scope {
            FaultScope::Model => &self.model,
            FaultScope::Upstream => &self.upstream,
        }
    }
}

/// What a breaker stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultScope {
    /// One model of an upstream.
    Model,
    /// All of an upstream.
    Upstream,
}

/// No open time is longer, but one that the upstream names itself.
const LONGEST: Duration = Duration::from_mins(5);

/// No upstream is believed beyond this.
const LONGEST_NAMED: Duration = Duration::from_hours(1);

/// Breaks of connections within it are one event, and so are connections refused behind a break.
const MOMENT: Duration = Duration::from_secs(1);

/// A probe that nobody reports on is given up, and another may go.
const PROBE_LEASE: Duration = Duration::from_mins(1);

const BUCKETS: usize = 10;

/// Whose fault a failed attempt is, and so which breakers learn of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Not the upstream's: the caller's mistake, a bound of the gateway, an answer that is to be asked for again.
    Nobody,
    /// The upstream's, for this model: an error of its own, a rate limit, a broken answer.
    Model,
    /// The upstream's, whatever the model: no connection, our credential refused, quota.
    Upstream,
}

impl Blame {
    /// Where nothing more is known than what went wrong.
    pub const fn of(condition: Option<Condition>) -> Self {
        match condition {
            None => Self::Nobody,
            Some(Condition::Connect | Condition::Credentials | Condition::Quota) => Self::Upstream,
            Some(
                Condition::Timeout | Condition::RateLimit | Condition::ServerError | Condition::BadAnswer,
            ) => Self::Model,
        }
    }

    /// How far it reaches; `None` where no breaker learns of it.
    pub const fn scope(self) -> Option<FaultScope> {
        match self {
            Self::Nobody => None,
            Self::Model => Some(FaultScope::Model),
            Self::Upstream => Some(FaultScope::Upstream),
        }
    }
}

/// How a call ended, as far as breakers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure {
        scope: FaultScope,
    },
    /// A connection broke under a call; of the whole of an upstream: it refused a new one.
    Break {
        scope: FaultScope,
    },
    /// A 429, with what it asks for.
    RateLimited {
        scope: FaultScope,
        retry_after: Option<Duration>,
    },
    /// The gateway gave up waiting, for this caller: a number that tells callers apart.
    Timeout {
        caller: u64,
    },
}

impl Outcome {
    /// The scope that is at fault; `None` where nothing is.
    pub const fn scope(self) -> Option<FaultScope> {
        match self {
            Self::Success => None,
            Self::Failure { scope } | Self::Break { scope } | Self::RateLimited { scope, .. } => Some(scope),
            Self::Timeout { .. } => Some(FaultScope::Model),
        }
    }

    /// What the breaker of a scope learns of it; `None` where it says nothing. What answers, however badly for one model, is
    /// there and takes our credential.
    pub fn toward(self, scope: FaultScope) -> Option<Self> {
        match (self.scope(), scope) {
            (None, _)
            | (Some(FaultScope::Model), FaultScope::Model)
            | (Some(FaultScope::Upstream), FaultScope::Upstream) => Some(self),
            (Some(FaultScope::Upstream), FaultScope::Model) => None,
            (Some(FaultScope::Model), FaultScope::Upstream) => match self {
                Self::Timeout { .. } => None,
                Self::Success | Self::Failure { .. } | Self::Break { .. } | Self::RateLimited { .. } => {
                    Some(Self::Success)
                }
            },
        }
    }
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Closed,
    /// Nothing goes before `until`.
    Open {
        until: Instant,
    },
    /// One call may go, if it gets the lease.
    HalfOpen,
    /// An operator decides; the breaker is not asked.
    Forced(Override),
}

impl Gate {
    /// What holds for a call that needs both, where no operator has said anything.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open { until }, Self::Open { until: others }) => Self::Open { until: until.max(others) },
            (forced @ Self::Forced(_), _) | (_, forced @ Self::Forced(_)) => forced,
            (open @ Self::Open { .. }, _) | (_, open @ Self::Open { .. }) => open,
            (Self::HalfOpen, _) | (_, Self::HalfOpen) => Self::HalfOpen,
            (Self::Closed, Self::Closed) => Self::Closed,
        }
    }

    /// Nothing may go.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Open { .. } | Self::Forced(Override { forced: Forced::Open, .. }) => true,
            Self::Closed | Self::HalfOpen | Self::Forced(Override { forced: Forced::Closed, .. }) => false,
        }
    }
}

/// The record of one breaker. The default is closed and knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    in_a_row: u32,
    buckets: [Bucket; BUCKETS],
    /// Openings without a success in between.
    openings: u32,
    /// Closed if there is none; half-open once it has passed.
    until: Option<Instant>,
    /// When that was known last: it tells how long it was meant to be, should the clock have been ahead.
    known: Instant,
    /// The probe's name, and when its lease ends.
    probe: Option<(u64, Instant)>,
    /// The last timeout, and the last one of another caller.
    timeouts: (Option<Met>, Option<Met>),
    /// The last break of a connection that was no part of an earlier one's moment.
    broke: Option<Instant>,
}

/// A timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Met {
    caller: u64,
    at: Instant,
}

/// Calls of a tenth of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    /// Which tenth since the origin of time.
    number: u64,
    calls: u32,
    failures: u32,
}

packed!(struct Breaker { in_a_row, buckets, openings, until, known, probe, timeouts, broke });
packed!(struct Met { caller, at });
packed!(struct Bucket { number, calls, failures });

/// Who reports, when, and a roll for the jitter.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The call's name, as the probe was leased by.
    pub id: u64,
    pub now: Instant,
    pub roll: u64,
}

impl Breaker {
    pub fn gate(&self, now: Instant) -> Gate {
        match (self.until, self.probe) {
            (None, _) => Gate::Closed,
            (Some(until), _) if until > now => Gate::Open { until },
            // A probe is on its way: nothing else goes before it is back, or given up.
            (Some(_), Some((_, lease))) if lease > now => Gate::Open { until: lease },
            (Some(_), _) => Gate::HalfOpen,
        }
    }

    /// Times of a clock that was ahead are moved to now: it stays open, and its probe out, for as long as was meant.
    pub fn clamp(&mut self, now: Instant) {
        if self.known > now {
            self.until = self.until.map(|until| now.after(until.since(self.known)));
            self.known = now;
        }
        self.probe = self.probe.map(|(id, lease)| (id, lease.min(now.after(PROBE_LEASE))));
    }

    /// Leases the probe to the call `id`, if it is to be had.
    pub fn probe(&mut self, id: u64, now: Instant) -> bool {
        let is_free = self.gate(now) == Gate::HalfOpen;
        if is_free {
            self.probe = Some((id, now.after(PROBE_LEASE)));
        }
        is_free
    }

    /// Takes note of how a call ended.
    pub fn observe(&mut self, policy: &Policy, outcome: Outcome, report: Report) {
        let Report { id, now, roll } = report;
        let is_probe = self.probe.is_some_and(|(leased_to, _)| leased_to == id);
        if outcome != Outcome::Success {
            self.clamp(now);
        }
        let named = match outcome {
            Outcome::Success => {
                if is_probe {
                    *self = Self::default();
                }
                return self.succeed(policy, 1, now);
            }
            Outcome::RateLimited { .. } if policy.on_rate_limit == OnRateLimit::Ignore => {
                // It answers; but a probe that gets no more than that has proved nothing.
                return if is_probe { self.probe = None } else { self.count(policy, (1, 0), now) };
            }
            Outcome::RateLimited { retry_after, .. } if policy.on_rate_limit == OnRateLimit::Open => {
                retry_after
            }
            Outcome::Timeout { caller } => {
                // One caller's may be its own long work; but a probe that gets no answer has proved nothing.
                if !self.is_met_by_another(caller, policy, now) && !is_probe {
                    return;
                }
                None
            }
            Outcome::Break { scope } => {
                let is_repeated = match scope {
                    FaultScope::Model => !self.breaks(now),
                    FaultScope::Upstream => self.is_broken(now),
                };
                // But a probe that gets no answer has proved nothing.
                if is_repeated && !is_probe {
                    return;
                }
                None
            }
            Outcome::RateLimited { .. } | Outcome::Failure { .. } => None,
        };
        self.count(policy, (1, 1), now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        // Calls that were under way when it opened are no news, unless they name a longer time.
        let trips = is_probe || (self.until.is_none() && self.is_over(policy, now));
        let until = trips.then(|| {
            self.openings = self.openings.saturating_add(1);
            now.after(self.open_time(policy, roll))
        });
        let named = named.map(|wait| now.after(wait.min(LONGEST_NAMED)));
        (self.until, self.known) = (self.until.max(until).max(named), now);
        if is_probe {
            self.probe = None;
        }
    }

    /// Takes note that a connection broke. Whether that is a new event.
    pub(crate) fn breaks(&mut self, now: Instant) -> bool {
        let is_new = !self.is_broken(now);
        if is_new {
            self.broke = Some(now);
        }
        is_new
    }

    /// Whether a connection broke within the last moment.
    fn is_broken(&self, now: Instant) -> bool {
        self.broke.is_some_and(|at| at <= now && now.since(at) < MOMENT)
    }

    /// Takes note of a timeout. Whether another caller has met one within the window.
    fn is_met_by_another(&mut self, caller: u64, policy: &Policy, now: Instant) -> bool {
        let (last, before) = self.timeouts;
        let (new, other) = (Some(Met { caller, at: now }), last.filter(|last| last.caller != caller));
        let other = other.or(before).map(|other| Met { at: other.at.min(now), ..other });
        self.timeouts = (new, other);
        let window = policy.tenth().saturating_mul(BUCKETS as u64);
        self.timeouts.1.is_some_and(|other| now.since(other.at) < Duration::from_micros(window))
    }

    /// Whether it has anything to remember beside calls that went well.
    pub(crate) fn has_seen_faults(&self) -> bool {
        let Self { in_a_row, buckets, openings, until, known: _, probe, timeouts: (met, _), broke } = self;
        let counts = *in_a_row > 0 || *openings > 0 || buckets.iter().any(|bucket| bucket.failures > 0);
        counts || until.is_some() || probe.is_some() || met.is_some() || broke.is_some()
    }

    /// The call was given up before it said anything of the upstream: its lease goes back.
    pub fn release(&mut self, id: u64) {
        self.probe = self.probe.filter(|(leased_to, _)| *leased_to != id);
    }

    /// When it may be tried again and nobody is trying it any more; the origin of time where it is closed.
    pub fn ends(&self) -> Instant {
        let probe = self.probe.map(|(_, lease)| lease);
        self.until.max(probe).unwrap_or_default()
    }

    /// Takes note of so many calls that went well, none of them a probe.
    pub fn succeed(&mut self, policy: &Policy, calls: u32, now: Instant) {
        self.in_a_row = 0;
        if self.until.is_none() {
            self.openings = 0;
        }
        self.count(policy, (calls, 0), now);
    }

    fn is_over(&self, policy: &Policy, now: Instant) -> bool {
        let (mut calls, mut failures) = (0_u64, 0_u64);
        let current = number(policy, now);
        for bucket in &self.buckets {
            // What a clock counted that was ahead is of no window that there is.
            if current.checked_sub(bucket.number).is_some_and(|age| age < BUCKETS as u64) {
                calls += u64::from(bucket.calls);
                failures += u64::from(bucket.failures);
            }
        }
        let is_over_rate = calls >= u64::from(policy.minimum)
            && failures * 1_000_000 >= calls * u64::from(policy.failure_rate());
        self.in_a_row >= policy.consecutive || (failures > 0 && is_over_rate)
    }

    fn count(&mut self, policy: &Policy, (calls, failures): (u32, u32), now: Instant) {
        let current = number(policy, now);
        // The remainder is below the number of buckets.
        let at = usize::try_from(current % BUCKETS as u64).unwrap_or(0);
        let bucket = &mut self.buckets[at];
        if bucket.number != current {
            *bucket = Bucket { number: current, ..Bucket::default() };
        }
        bucket.calls = bucket.calls.saturating_add(calls);
        bucket.failures = bucket.failures.saturating_add(failures);
    }

    /// Doubles with each opening, and is up to a tenth longer by chance, so that breakers do not move in step.
    fn open_time(&self, policy: &Policy, roll: u64) -> Duration {
        let doublings = self.openings.saturating_sub(1).min(16);
        let base = policy.open.saturating_mul(1 << doublings).min(LONGEST.max(policy.open));
        let tenth = u64::try_from(base.as_micros() / 10).unwrap_or(u64::MAX);
        base.saturating_add(Duration::from_micros(below(roll, tenth)))
    }
}

fn number(policy: &Policy, now: Instant) -> u64 {
    now.as_micros() / policy.tenth()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILURE: Outcome = Outcome::Failure { scope: FaultScope::Model };

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn by(id: u64, millis: u64) -> Report {
        Report { id, now: at(millis), roll: 0 }
    }

    fn opened_at(millis: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for id in 0..5 {
            assert_eq!(breaker.gate(at(millis)), Gate::Closed);
            breaker.observe(&Policy::default(), FAILURE, by(id, millis));
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_begins_the_count_anew() {
        let breaker = opened_at(0);
        assert_eq!(breaker.gate(at(29_999)), Gate::Open { until: at(30_000) });
        assert_eq!(breaker.gate(at(30_000)), Gate::HalfOpen);
        let mut breaker = Breaker::default();
        for id in 0..40 {
            let outcome = if id % 5 == 4 { Outcome::Success } else { FAILURE };
            // Apart, so that there is no rate.
            breaker.observe(&Policy::default(), outcome, by(id, id * 2000));
            assert_eq!(breaker.gate(at(id * 2000)), Gate::Closed, "{id}");
        }
    }

    #[test]
    fn a_rate_of_failures_opens_it_once_there_are_enough_calls() {
        let mut breaker = Breaker::default();
        for id in 0..19 {
            let outcome = if id == 9 { FAILURE } else { Outcome::Success };
            breaker.observe(&Policy::default(), outcome, by(id, id * 100));
        }
        assert_eq!(breaker.gate(at(1900)), Gate::Closed, "1 of 19");
        breaker.observe(&Policy::default(), FAILURE, by(19, 1900));
        assert!(matches!(breaker.gate(at(1900)), Gate::Open { .. }), "2 of 20");
        let mut slow = Breaker::default();
        for id in 0..40 {
            let outcome = if id % 4 == 0 { FAILURE } else { Outcome::Success };
            slow.observe(&Policy::default(), outcome, by(id, id * 1000));
        }
        assert_eq!(slow.gate(at(40_000)), Gate::Closed, "ten calls in a window are no rate");
    }

    /// Invariant 2, for one breaker.
    #[test]
    fn half_open_lets_one_probe_through() {
        let mut breaker = opened_at(0);
        assert!(!breaker.probe(1, at(29_999)));
        assert!(breaker.probe(1, at(30_000)));
        assert!(!breaker.probe(2, at(30_001)));
        assert_eq!(breaker.gate(at(30_001)), Gate::Open { until: at(90_000) });
        assert!(breaker.probe(2, at(90_000)), "nobody has heard of the first one");
    }

    #[test]
    fn the_probe_decides() {
        let mut breaker = opened_at(0);
        breaker.probe(7, at(30_000));
        breaker.observe(&Policy::default(), Outcome::Success, by(3, 30_500));
        assert_ne!(breaker.gate(at(30_500)), Gate::Closed, "a call from before it opened proves nothing");
        breaker.observe(&Policy::default(), Outcome::Success, by(7, 31_000));
        assert_eq!(breaker.gate(at(31_000)), Gate::Closed);
        breaker.observe(&Policy::default(), FAILURE, by(8, 31_000));
        assert_eq!(breaker.gate(at(31_000)), Gate::Closed, "the count has begun anew");
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_bound() {
        let (mut breaker, mut now) = (opened_at(0), 0);
        for seconds in [30, 60, 120, 240, 300, 300] {
            assert_eq!(breaker.gate(at(now)), Gate::Open { until: at(now + seconds * 1000) });
            now += seconds * 1000;
            assert!(breaker.probe(now, at(now)));
            breaker.observe(&Policy::default(), FAILURE, by(now, now));
        }
    }

    #[test]
    fn a_probe_that_was_given_up_goes_to_the_next() {
        let mut breaker = opened_at(0);
        assert!(breaker.probe(1, at(30_000)));
        breaker.release(1);
        assert!(breaker.probe(2, at(30_001)));
    }

    #[test]
    fn a_rate_limit_is_handled_by_policy() {
        let limited = |seconds| Outcome::RateLimited {
            scope: FaultScope::Model,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let with = |on_rate_limit| Policy { on_rate_limit, ..Policy::default() };
        let mut breaker = Breaker::default();
        breaker.observe(&with(OnRateLimit::Open), limited(20), by(1, 0));
        assert_eq!(breaker.gate(at(0)), Gate::Open { until: at(20_000) });
        breaker.observe(&with(OnRateLimit::Open), limited(2), by(2, 1000));
        assert_eq!(breaker.gate(at(1000)), Gate::Open { until: at(20_000) }, "the longer one stays");
        for (on_rate_limit, is_open) in [(OnRateLimit::Count, true), (OnRateLimit::Ignore, false)] {
            let mut breaker = Breaker::default();
            for id in 0..5 {
                breaker.observe(&with(on_rate_limit), limited(20), by(id, 0));
            }
            assert_eq!(matches!(breaker.gate(at(0)), Gate::Open { .. }), is_open, "{on_rate_limit:?}");
        }
    }

    #[test]
    fn a_timeout_counts_once_another_caller_has_met_one() {
        let mut breaker = Breaker::default();
        let mut meet = |caller, millis| {
            breaker.observe(&Policy::default(), Outcome::Timeout { caller }, by(millis, millis));
            breaker.in_a_row
        };
        assert_eq!([meet(1, 0), meet(1, 10), meet(1, 20)], [0; 3], "one caller's are its own");
        assert_eq!([meet(2, 30), meet(1, 40), meet(1, 50)], [1, 2, 3], "two meet them");
        assert_eq!(meet(1, 10_050), 3, "the other's is a window old");
        assert_eq!(meet(3, 10_060), 4);
    }

    #[test]
    fn connections_that_break_in_one_moment_are_one_failure() {
        let cut = Outcome::Break { scope: FaultScope::Model };
        let refused = Outcome::Break { scope: FaultScope::Upstream };
        let mut breaker = Breaker::default();
        let mut meet = |outcome, millis| {
            breaker.observe(&Policy::default(), outcome, by(millis, millis));
            breaker.in_a_row
        };
        assert_eq!(
            [0, 1, 400, 999].map(|millis| meet(cut, millis)),
            [1; 4],
            "eight streams of one connection"
        );
        assert_eq!(meet(refused, 999), 1, "the restart that broke it");
        assert_eq!([1000, 1001].map(|millis| meet(cut, millis)), [2; 2], "the next moment");
        assert_eq!(
            [2000, 2001, 2002].map(|millis| meet(refused, millis)),
            [3, 4, 5],
            "no break is behind them"
        );
    }

    #[test]
    fn a_probe_that_breaks_has_failed_in_whatever_moment() {
        let mut breaker = opened_at(0);
        breaker.observe(&Policy::default(), Outcome::Break { scope: FaultScope::Model }, by(8, 29_900));
        assert!(breaker.probe(7, at(30_000)));
        breaker.observe(&Policy::default(), Outcome::Break { scope: FaultScope::Model }, by(7, 30_100));
        assert_eq!(breaker.gate(at(30_100)), Gate::Open { until: at(90_100) });
    }

    #[test]
    fn a_probe_that_times_out_has_failed_whoever_sent_it() {
        let mut breaker = opened_at(0);
        assert!(breaker.probe(7, at(30_000)));
        breaker.observe(&Policy::default(), Outcome::Timeout { caller: 1 }, by(7, 31_000));
        assert_eq!(breaker.gate(at(31_000)), Gate::Open { until: at(91_000) });
    }

    #[test]
    fn a_loss_of_six_per_cent_opens_it_only_where_there_is_somewhere_else_to_go() {
        for (alternatives, is_open) in [(Alternatives::Some, true), (Alternatives::None, false)] {
            let policy = Policy::default().on_a_route(alternatives);
            let mut breaker = Breaker::default();
            for id in 0..160 {
                let outcome = if id % 16 == 15 { FAILURE } else { Outcome::Success };
                breaker.observe(&policy, outcome, by(id, id * 60));
            }
            assert_eq!(breaker.gate(at(9600)) != Gate::Closed, is_open, "{alternatives:?}");
        }
        let written = Policy { failure_rate: Some(10_000), ..Policy::default() };
        assert_eq!(written.on_a_route(Alternatives::None).failure_rate(), 10_000, "what is written holds");
    }

    #[test]
    fn each_scope_learns_what_concerns_it() {
        use FaultScope::{Model, Upstream};
        let limited = |scope| Outcome::RateLimited { scope, retry_after: None };
        let timeout = Outcome::Timeout { caller: 1 };
        for (outcome, model, upstream) in [
            (Outcome::Success, Some(Outcome::Success), Some(Outcome::Success)),
            (FAILURE, Some(FAILURE), Some(Outcome::Success)),
            (limited(Model), Some(limited(Model)), Some(Outcome::Success)),
            (limited(Upstream), None, Some(limited(Upstream))),
            (Outcome::Failure { scope: Upstream }, None, Some(Outcome::Failure { scope: Upstream })),
            (Outcome::Break { scope: Model }, Some(Outcome::Break { scope: Model }), Some(Outcome::Success)),
            (Outcome::Break { scope: Upstream }, None, Some(Outcome::Break { scope: Upstream })),
            (timeout, Some(timeout), None),
        ] {
            assert_eq!([outcome.toward(Model), outcome.toward(Upstream)], [model, upstream], "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn breaks_count_once_a_moment_at_most(pauses in proptest::collection::vec(0_u64..700, 1..200)) {
            let (mut breaker, mut now) = (Breaker::default(), 0);
            let policy = Policy { consecutive: u32::MAX, minimum: u32::MAX, ..Policy::default() };
            for (id, pause) in (0..).zip(&pauses) {
                now += pause;
                breaker.observe(&policy, Outcome::Break { scope: FaultScope::Model }, by(id, now));
            }
            prop_assert!(u64::from(breaker.in_a_row) <= now / 1000 + 1, "{} in {now} ms", breaker.in_a_row);
        }

        #[test]
        fn jitter_adds_at_most_a_tenth(roll: u64) {
            let mut breaker = Breaker::default();
            for id in 0..5 {
                breaker.observe(&Policy::default(), FAILURE, Report { id, now: at(0), roll });
            }
            let Gate::Open { until } = breaker.gate(at(0)) else { panic!("closed") };
            prop_assert!((at(30_000)..=at(33_000)).contains(&until), "{until:?}");
        }

        /// Invariant 15, for one breaker: once faults stop, it closes within the longest open time.
        #[test]
        fn once_faults_stop_it_closes(outcomes in proptest::collection::vec(any::<bool>(), 0..200)) {
            let (mut breaker, mut now) = (Breaker::default(), 0);
            let policy = Policy::default();
            let call = |now: u64, fails: bool, breaker: &mut Breaker| {
                let may_go = match breaker.gate(at(now)) {
                    Gate::Closed => true,
                    Gate::HalfOpen => breaker.probe(now, at(now)),
                    Gate::Open { .. } | Gate::Forced(_) => false,
                };
                if may_go {
                    let outcome = if fails { FAILURE } else { Outcome::Success };
                    breaker.observe(&policy, outcome, by(now, now));
                }
            };
            for fails in outcomes {
                now += 700;
                call(now, fails, &mut breaker);
            }
            let stopped = now;
            while breaker.gate(at(now)) != Gate::Closed {
                now += 700;
                call(now, false, &mut breaker);
                prop_assert!(now - stopped <= 332_000, "still open after {} ms", now - stopped);
            }
        }
    }
}
