//! Limits: every admission with its time.
//!
//! Requests: however the admissions are cut, so many in a span are no more than the limit and what runs off
//! in that span. Tokens: an exact level, in which what was used beyond its reservation is owed. Calls at the
//! same time: the holds that were neither settled nor have expired.
//!
//! A store counts time in whole milliseconds: it may be ahead of these, or behind, by what runs off in one.

use std::collections::BTreeMap;

use weir::limits::Limits;
use weir::limits::account::{Denied, Measure, Scope};
use weir::limits::rate::{Denial, Rate};
use weir::time::Instant;

use super::Wrong;

/// All accounts of one store.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<Scope, Account>,
    /// What each reservation holds, and where.
    holds: BTreeMap<u64, Vec<(Scope, Limits, u64)>>,
}

#[derive(Debug, Default)]
struct Account {
    requests: Vec<Instant>,
    tokens: Vec<Level>,
    in_flight: BTreeMap<u64, Instant>,
}

/// In parts of a token that run off within a microsecond: exact at any rate.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    debt: u128,
    at: Instant,
}

/// A reservation, as it was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) tokens: u64,
    pub(crate) expires: Instant,
    pub(crate) now: Instant,
}

fn micros(rate: Rate) -> u128 {
    rate.per.as_micros()
}

/// What runs off in a millisecond.
fn slack(rate: Rate) -> u128 {
    1_000 * u128::from(rate.count)
}

impl Level {
    fn at(self, rate: Rate, now: Instant) -> u128 {
        self.debt.saturating_sub(now.since(self.at).as_micros() * u128::from(rate.count))
    }

    fn change(&mut self, rate: Rate, more: u64, less: u64, now: Instant) {
        let debt = self.at(rate, now) + u128::from(more) * micros(rate);
        (self.debt, self.at) = (debt.saturating_sub(u128::from(less) * micros(rate)), now);
    }
}

impl Account {
    fn level(&mut self, at: usize) -> &mut Level {
        if self.tokens.len() <= at {
            self.tokens.resize(at + 1, Level::default());
        }
        &mut self.tokens[at]
    }

    /// What is left of the requests at `now`, the last of which need not be among them.
    fn requested(&self, rate: Rate, now: Instant) -> u128 {
        let mut level = Level::default();
        for time in &self.requests {
            level.change(rate, 1, 0, *time);
        }
        level.at(rate, now)
    }
}

impl Ledger {
    /// The store has reserved this.
    pub(crate) fn admit(&mut self, accounts: &[(Scope, Limits)], grant: Grant) -> Result<(), Wrong> {
        let Grant { id, tokens, expires, now } = grant;
        for (scope, limits) in accounts {
            let account = self.accounts.entry(scope.clone()).or_default();
            account.requests.push(now);
            for rate in &limits.requests {
                within(&account.requests, *rate, now).map_err(|wrong| format!("{scope:?} admits {wrong}"))?;
            }
            for (at, rate) in limits.tokens.iter().enumerate() {
                let level = account.level(at);
                level.change(*rate, tokens, 0, now);
                if level.debt > u128::from(rate.count) * micros(*rate) + slack(*rate) && tokens > 0 {
                    let owed = level.debt / micros(*rate);
                    return Err(format!("{scope:?} holds {owed} tokens under a limit of {rate:?}"));
                }
            }
            account.in_flight.retain(|_, expires| *expires > now);
            account.in_flight.insert(id, expires);
            if let Some(most) = limits.concurrent.filter(|most| account.in_flight.len() as u64 > *most) {
                let count = account.in_flight.len();
                return Err(format!("{scope:?} has {count} calls at the same time under a limit of {most}"));
            }
        }
        let held = accounts.iter().map(|(scope, limits)| (scope.clone(), limits.clone(), tokens));
        if self.holds.insert(id, held.collect()).is_some() {
            return Err(format!("reservation {id:x} is made twice"));
        }
        Ok(())
    }

    /// A call says that it is still under way.
    pub(crate) fn renew(&mut self, id: u64, expires: Instant) {
        for (scope, limits, _) in self.holds.get(&id).into_iter().flatten() {
            if limits.concurrent.is_some()
                && let Some(account) = self.accounts.get_mut(scope)
            {
                account.in_flight.insert(id, expires);
            }
        }
    }

    /// The store has refused: was there a reason?
    pub(crate) fn deny(
        &self,
        accounts: &[(Scope, Limits)],
        denied: &Denied,
        now: Instant,
    ) -> Result<(), Wrong> {
        let has_reason = accounts.iter().any(|(scope, limits)| {
            let nothing = Account::default();
            let account = self.accounts.get(scope).unwrap_or(&nothing);
            let is_full = |level: u128, rate: Rate| {
                let wanted = u128::from(denied.requested) * micros(rate);
                level + wanted + slack(rate) > u128::from(rate.count) * micros(rate)
            };
            match denied.measure {
                Measure::Requests(rate) => {
                    limits.requests.contains(&rate) && is_full(account.requested(rate, now), rate)
                }
                Measure::Tokens(rate) => limits.tokens.iter().enumerate().any(|(at, known)| {
                    let level = account.tokens.get(at).map_or(0, |level| level.at(rate, now));
                    *known == rate && is_full(level, rate)
                }),
                Measure::Concurrent(most) => {
                    let live = account.in_flight.values().filter(|expires| **expires > now).count();
                    limits.concurrent == Some(most) && live as u64 >= most
                }
            }
        });
        let is_never = denied.denial == Denial::Never;
        if has_reason || is_never { Ok(()) } else { Err(format!("a refusal without a reason: {denied:?}")) }
    }

    /// The store is told what a reservation came to.
    pub(crate) fn settle(&mut self, id: u64, used: u64, now: Instant) -> Result<(), Wrong> {
        let held = self.holds.remove(&id).ok_or_else(|| format!("nothing is held as {id:x}"))?;
        for (scope, limits, tokens) in held {
            let account = self.accounts.entry(scope).or_default();
            for (at, rate) in limits.tokens.iter().enumerate() {
                account.level(at).change(*rate, used, tokens, now);
            }
            account.in_flight.remove(&id);
        }
        Ok(())
    }

    /// What is held and was never settled.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = u64> {
        self.holds.keys().copied()
    }

    /// When requests of a scope were admitted.
    pub(crate) fn admissions(&self, scope: &Scope) -> &[Instant] {
        self.accounts.get(scope).map_or(&[], |account| &account.requests)
    }
}

/// The admissions, of which the last is at `now`, are within the limit, however they are cut.
pub(crate) fn within(admitted: &[Instant], rate: Rate, now: Instant) -> Result<(), Wrong> {
    for (at, since) in admitted.iter().enumerate() {
        let (count, span) = ((admitted.len() - at) as u128, now.since(*since));
        let allowed = u128::from(rate.count) * (micros(rate) + span.as_micros()) + slack(rate);
        if count * micros(rate) > allowed {
            return Err(format!("{count} requests within {span:?} under a limit of {rate:?}"));
        }
    }
    Ok(())
}
