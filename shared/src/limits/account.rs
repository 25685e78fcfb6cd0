//! What one scope has taken: the record behind its limits, and the steps that change it.
//!
//! A request reserves in all its scopes or in none, and settles once. Overshoot is bounded: a limit on requests
//! or on calls at the same time is never exceeded; a limit on tokens is exceeded at most by what the calls in
//! flight use beyond their reservations, and that is owed: whoever comes next waits for it to run off.

use std::net::IpAddr;
use std::time::Duration;

use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::rate::{Allowance, Denial, Meter, Rate};
use crate::time::Instant;
use crate::wire::pack::packed;

/// Who shares an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Caller {
        tenant: String,
        name: String,
    },
    /// A client of a gateway that asks for no key.
    Address(IpAddr),
    /// All callers of the route with this pattern.
    Route(String),
    /// Newcomers, when the store holds as many accounts as it may: they share what is left of one.
    Overflow,
}

/// The record of one scope. The default has taken nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    requests: Vec<Meter>,
    tokens: Vec<Meter>,
    holds: Vec<Hold>,
}

/// One call in flight: a lease, which ends by itself unless the call renews it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    id: u64,
    expires: Instant,
}

packed!(struct Account { requests, tokens, holds });
packed!(struct Hold { id, expires });

/// What a call wants to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Names the hold.
    pub id: u64,
    pub tokens: Tokens,
    /// How long the hold lasts unless it is renewed; zero where nothing is held.
    pub lasts: Duration,
}

/// Whether a store may have been told the same before, and its answer was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    #[default]
    First,
    /// Tokens are counted only where the call is still held: that it is not says that the end was heard.
    Again,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Requests(Rate),
    Tokens(Rate),
    Concurrent(u64),
}

/// Why a call may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub measure: Measure,
    pub used: u64,
    pub requested: u64,
    pub denial: Denial,
}

/// What is left in an account, the tightest of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub requests: Option<Allowance>,
    pub tokens: Option<Allowance>,
}

impl Left {
    /// The tighter of both, kind by kind.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        let tighter = |a: Option<Allowance>, b: Option<Allowance>| match (a, b) {
            (Some(a), Some(b)) => Some(if b.remaining < a.remaining { b } else { a }),
            (a, b) => a.or(b),
        };
        Self { requests: tighter(self.requests, other.requests), tokens: tighter(self.tokens, other.tokens) }
    }
}

impl Account {
    /// Reserves a call, or nothing.
    pub fn reserve(&mut self, limits: &Limits, want: Want, now: Instant) -> Result<(), Denied> {
        self.holds.retain(|hold| hold.expires > now);
        // Kept even of a call that is refused: who waits would wait for the clock else.
        self.requests.iter_mut().chain(&mut self.tokens).for_each(|meter| meter.clamp(now));
        if let Some(most) = limits.concurrent {
            self.clamp_holds(want.lasts, now);
            let used = self.holds.len() as u64;
            if used >= most {
                let denial = Denial::NotYet { wait: self.wait_for_place(now) };
                return Err(Denied { measure: Measure::Concurrent(most), used, requested: 1, denial });
            }
        }
        // All or nothing: the meters are changed as copies, and kept only if all agree.
        let requests = taken(&self.requests, &limits.requests, 1, now).map_err(|(rate, used, denial)| {
            Denied { measure: Measure::Requests(rate), used, requested: 1, denial }
        })?;
        let wanted = want.tokens.0;
        let tokens = taken(&self.tokens, &limits.tokens, wanted, now).map_err(|(rate, used, denial)| {
            Denied { measure: Measure::Tokens(rate), used, requested: wanted, denial }
        })?;
        (self.requests, self.tokens) = (requests, tokens);
        if limits.concurrent.is_some() {
            self.holds.push(Hold { id: want.id, expires: now.after(want.lasts) });
        }
        Ok(())
    }

    /// The call is still under way: its hold lasts from now on, even one that has run out or was forgotten meanwhile.
    pub fn renew(&mut self, id: u64, lasts: Duration, now: Instant) {
        self.clamp_holds(lasts, now);
        let expires = now.after(lasts);
        match self.holds.iter_mut().find(|hold| hold.id == id) {
            Some(hold) => hold.expires = expires,
            None => self.holds.push(Hold { id, expires }),
        }
    }

    /// Whether the call holds a place.
    pub fn holds(&self, id: u64, now: Instant) -> bool {
        self.holds.iter().any(|hold| hold.id == id && hold.expires > now)
    }

    /// No hold lasts longer than from now on: one that does was taken by a clock that was ahead.
    fn clamp_holds(&mut self, lasts: Duration, now: Instant) {
        let longest = now.after(lasts);
        for hold in &mut self.holds {
            hold.expires = hold.expires.min(longest);
        }
    }

    /// When a call ends nobody knows, and a moment is a fair guess as long as one of them says that it is under way.
    /// Where all have fallen silent, the first place is free when its hold runs out.
    fn wait_for_place(&self, now: Instant) -> Duration {
        let left = || self.holds.iter().map(|hold| hold.expires.since(now));
        match left().min() {
            Some(first) if left().all(|left| left <= SILENT) => {
                let millis = first.as_micros().div_ceil(1000);
                Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
            }
            Some(_) | None => CONCURRENT_WAIT,
        }
    }

    /// Takes a reservation back as if it had never been made: another scope refused.
    pub fn undo(&mut self, limits: &Limits, want: Want, now: Instant) {
        for (meter, rate) in self.requests.iter_mut().zip(&limits.requests) {
            meter.settle(*rate, 1, 0, now);
        }
        self.settle(limits, want, Tokens(0), now);
    }

    /// Gives the tokens of a reservation back: the call needs none.
    pub fn trim(&mut self, limits: &Limits, want: Want, now: Instant) {
        for (meter, rate) in self.tokens.iter_mut().zip(&limits.tokens) {
            meter.settle(*rate, want.tokens.0, 0, now);
        }
    }

    /// Trues the reservation up to what was used, and lets the next one in. What is owed is owed by an account
    /// that was forgotten meanwhile as well.
    pub fn settle(&mut self, limits: &Limits, want: Want, used: Tokens, now: Instant) {
        self.tokens.resize(limits.tokens.len(), Meter::default());
        for (meter, rate) in self.tokens.iter_mut().zip(&limits.tokens) {
            meter.settle(*rate, want.tokens.0, used.0, now);
        }
        self.holds.retain(|hold| hold.id != want.id);
    }

    /// What is left.
    pub fn left(&self, limits: &Limits, now: Instant) -> Left {
        Left {
            requests: tightest(&self.requests, &limits.requests, now),
            tokens: tightest(&self.tokens, &limits.tokens, now),
        }
    }

    /// When nothing will be held and nothing owed any more, if nothing is taken until then.
    pub fn ends(&self, limits: &Limits) -> Instant {
        let ends = |(meter, rate): (&Meter, &Rate)| meter.ends(*rate);
        let requests = self.requests.iter().zip(&limits.requests).map(ends);
        let tokens = self.tokens.iter().zip(&limits.tokens).map(ends);
        let holds = self.holds.iter().map(|hold| hold.expires);
        requests.chain(tokens).chain(holds).max().unwrap_or_default()
    }

    /// Nothing is held and nothing owed, so the record may be forgotten.
    pub fn is_empty(&self, limits: &Limits, now: Instant) -> bool {
        let is_empty = |(meter, rate): (&Meter, &Rate)| meter.is_empty(*rate, now);
        self.holds.iter().all(|hold| hold.expires <= now)
            && self.requests.iter().zip(&limits.requests).all(is_empty)
            && self.tokens.iter().zip(&limits.tokens).all(is_empty)
    }
}

/// What a client waits before it tries again when too many of its calls are in flight.
pub(crate) const CONCURRENT_WAIT: Duration = Duration::from_millis(500);

/// A hold with less than this left has missed a renewal ([`HELD`], [`crate::store::lease::HOLD_RENEWAL`]).
pub(crate) const SILENT: Duration = Duration::from_secs(18);

/// How long a call in flight holds its place and its key unless it says that it is still under way.
pub const HELD: Duration = Duration::from_secs(30);

/// The meters with `amount` taken from each. A limit that is new to the account begins empty.
fn taken(
    meters: &[Meter],
    rates: &[Rate],
    amount: u64,
    now: Instant,
) -> Result<Vec<Meter>, (Rate, u64, Denial)> {
    let mut after = meters.to_vec();
    after.resize(rates.len(), Meter::default());
    for (meter, rate) in after.iter_mut().zip(rates) {
        meter.take(*rate, amount, now).map_err(|denial| {
            let allowance = meter.allowance(*rate, now);
            (*rate, allowance.limit - allowance.remaining, denial)
        })?;
    }
    Ok(after)
}

fn tightest(meters: &[Meter], rates: &[Rate], now: Instant) -> Option<Allowance> {
    let meter = |at: usize| meters.get(at).copied().unwrap_or_default();
    let allowances = rates.iter().enumerate().map(|(at, rate)| meter(at).allowance(*rate, now));
    allowances.min_by_key(|allowance| allowance.remaining)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::OnStoreLoss;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn limits(requests: u64, tokens: u64, concurrent: u64) -> Limits {
        let rate = |count| vec![Rate { count, per: Duration::from_mins(1) }];
        Limits {
            requests: rate(requests),
            tokens: rate(tokens),
            concurrent: Some(concurrent),
            on_store_loss: OnStoreLoss::Local,
        }
    }

    fn want(id: u64, tokens: u64) -> Want {
        Want { id, tokens: Tokens(tokens), lasts: HELD }
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let (limits, mut account) = (limits(10, 100, 2), Account::default());
        let before = account.clone();
        let denied = account.reserve(&limits, want(1, 101), at(0)).unwrap_err();
        assert_eq!(denied.denial, Denial::Never);
        assert_eq!(account, before);
        account.reserve(&limits, want(1, 60), at(0)).unwrap();
        let before = account.clone();
        let denied = account.reserve(&limits, want(2, 60), at(0)).unwrap_err();
        assert_eq!((denied.used, denied.requested), (60, 60));
        assert_eq!(denied.denial, Denial::NotYet { wait: Duration::from_secs(12) });
        assert_eq!(account, before);
    }

    #[test]
    fn calls_at_the_same_time_are_counted_until_they_settle_or_expire() {
        let (limits, mut account) = (limits(100, 1000, 2), Account::default());
        for id in [1, 2] {
            account.reserve(&limits, want(id, 1), at(0)).unwrap();
        }
        let denied = account.reserve(&limits, want(3, 1), at(0)).unwrap_err();
        assert_eq!(denied.measure, Measure::Concurrent(2));
        account.settle(&limits, want(1, 1), Tokens(1), at(0));
        account.reserve(&limits, want(3, 1), at(0)).unwrap();
        assert!(account.reserve(&limits, want(4, 1), at(29_999)).is_err());
        account.reserve(&limits, want(4, 1), at(30_000)).unwrap();
    }

    #[test]
    fn a_hold_that_is_renewed_lasts_and_one_that_was_lost_comes_back() {
        let (limits, mut account) = (limits(100, 1000, 1), Account::default());
        account.reserve(&limits, want(1, 1), at(0)).unwrap();
        account.renew(1, HELD, at(20_000));
        account.reserve(&limits, want(2, 1), at(49_999)).unwrap_err();
        account.reserve(&limits, want(2, 1), at(50_000)).unwrap();
        account.renew(1, HELD, at(51_000));
        assert_eq!(account.holds.len(), 2, "it goes on, whoever has come meanwhile");
        account.settle(&limits, want(1, 1), Tokens(1), at(52_000));
        account.settle(&limits, want(2, 1), Tokens(1), at(52_000));
        account.reserve(&limits, want(3, 1), at(52_000)).unwrap();
    }

    #[test]
    fn the_wait_is_a_moment_beside_calls_under_way_and_the_rest_of_a_lease_beside_silent_ones() {
        let (limits, mut account) = (limits(100, 1000, 2), Account::default());
        account.reserve(&limits, want(1, 1), at(0)).unwrap();
        account.reserve(&limits, want(2, 1), at(3_000)).unwrap();
        let wait = |account: &mut Account, millis| {
            let denied = account.reserve(&limits, want(3, 1), at(millis)).unwrap_err();
            denied.denial
        };
        let millis = |wait| Denial::NotYet { wait: Duration::from_millis(wait) };
        assert_eq!(wait(&mut account, 14_000), millis(500), "the second may be under way");
        assert_eq!(wait(&mut account, 25_000), millis(5_000), "neither has said so for long");
        account.renew(2, HELD, at(25_000));
        assert_eq!(wait(&mut account, 25_000), millis(500));
    }

    #[test]
    fn a_debt_from_the_future_runs_off_from_now_on() {
        let (limits, mut account) = (limits(1, 1000, 9), Account::default());
        account.reserve(&limits, want(1, 1), at(300_000)).unwrap();
        let denied = account.reserve(&limits, want(2, 1), at(0)).unwrap_err();
        assert_eq!(denied.denial, Denial::NotYet { wait: Duration::from_mins(1) });
        account.reserve(&limits, want(2, 1), at(59_999)).unwrap_err();
        account.reserve(&limits, want(2, 1), at(60_000)).unwrap();
    }

    #[test]
    fn a_hold_from_the_future_lasts_no_longer_than_one_from_now() {
        let (limits, mut account) = (limits(100, 1000, 1), Account::default());
        account.reserve(&limits, want(1, 1), at(300_000)).unwrap();
        account.reserve(&limits, want(2, 1), at(0)).unwrap_err();
        account.reserve(&limits, want(2, 1), at(30_000)).unwrap();
    }

    #[test]
    fn an_undone_reservation_leaves_no_trace() {
        let (limits, mut account) = (limits(10, 100, 2), Account::default());
        account.reserve(&limits, want(1, 50), at(0)).unwrap();
        account.undo(&limits, want(1, 50), at(0));
        assert!(account.is_empty(&limits, at(0)));
    }

    /// A store that forgets who owes nothing may forget an account while a call is on its way.
    #[test]
    fn what_was_used_is_owed_by_an_account_that_was_forgotten() {
        let (limits, mut account) = (limits(10, 100, 2), Account::default());
        account.settle(&limits, want(1, 50), Tokens(90), at(0));
        assert_eq!(account.left(&limits, at(0)).tokens.unwrap().remaining, 60);
    }

    proptest! {
        /// The bound that is stated: tokens over the limit are those used beyond their reservations.
        #[test]
        fn tokens_overshoot_by_what_calls_use_beyond_their_reservations(
            calls in proptest::collection::vec((1_u64..40, 0_u64..80), 1..60),
        ) {
            let (limits, mut account) = (limits(1000, 100, 1000), Account::default());
            let (mut used_in_all, mut beyond) = (0, 0);
            for (id, (reserved, used)) in (0..).zip(calls) {
                if account.reserve(&limits, want(id, reserved), at(0)).is_ok() {
                    account.settle(&limits, want(id, reserved), Tokens(used), at(0));
                    used_in_all += used;
                    beyond += used.saturating_sub(reserved);
                }
            }
            prop_assert!(used_in_all <= 100 + beyond, "{used_in_all} used, {beyond} beyond");
        }
    }
}
