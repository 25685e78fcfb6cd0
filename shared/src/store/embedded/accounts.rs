//! Accounts in one process: bounded in number. No flood of addresses makes a spent one new, or takes its own from a client
//! that has come before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Account, Denied, Left, Scope, Want};
use crate::time::Instant;

/// The accounts of an embedded store. The steps are synchronous; whoever shares it locks it.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_scope: BTreeMap<Scope, Kept>,
    most: usize,
    swept: Instant,
}

#[derive(Debug, Default)]
struct Kept {
    account: Account,
    limits: Limits,
    first: Instant,
    last: Instant,
}

impl Kept {
    /// Whether it belongs to somebody who comes again, and not to one of a flood.
    fn is_regular(&self, now: Instant) -> bool {
        self.last.since(self.first) >= REGULAR && now.since(self.last) < REMEMBERED
    }
}

/// Between the first and the last call of whoever comes again.
const REGULAR: Duration = Duration::from_mins(1);

/// For so long a place is kept for such a one that owes nothing.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Nothing is reserved, in no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Index of the scope that refused.
    pub(crate) at: usize,
    pub(crate) denied: Denied,
}

impl Accounts {
    /// Holds at most `most` accounts, beside those that a configuration names. Beyond that, those that owe nothing are
    /// forgotten unless they come again and again; if none can be, addresses that are new share one account until some
    /// can.
    pub(crate) fn new(most: usize) -> Self {
        Self { by_scope: BTreeMap::new(), most, swept: Instant::default() }
    }

    /// Reserves in all scopes, or in none.
    pub(crate) fn reserve(
        &mut self,
        scopes: &[(Scope, Limits)],
        want: Want,
        now: Instant,
    ) -> Result<Left, Refused> {
        let mut left = Left::default();
        for (at, (scope, limits)) in scopes.iter().enumerate() {
            let (outcome, now_left) = self.on_account(scope, limits, now, |account| {
                (account.reserve(limits, want, now), account.left(limits, now))
            });
            left = left.tighter(now_left);
            if let Err(denied) = outcome {
                self.undo(&scopes[..at], want, now);
                return Err(Refused { at, denied });
            }
        }
        Ok(left)
    }

    /// Takes a reservation back as if it had never been made.
    pub(crate) fn undo(&mut self, scopes: &[(Scope, Limits)], want: Want, now: Instant) {
        for (scope, limits) in scopes {
            self.on_account(scope, limits, now, |account| account.undo(limits, want, now));
        }
    }

    /// Gives the tokens of a reservation back, and nothing else of it.
    pub(crate) fn trim(&mut self, scopes: &[(Scope, Limits)], want: Want, now: Instant) {
        for (scope, limits) in scopes {
            self.on_account(scope, limits, now, |account| account.trim(limits, want, now));
        }
    }

    pub(crate) fn settle(&mut self, scopes: &[(Scope, Limits)], want: Want, used: Tokens, now: Instant) {
        for (scope, limits) in scopes {
            self.on_account(scope, limits, now, |account| account.settle(limits, want, used, now));
        }
    }

    /// The same of a call whose end may have been told before: where it has no place any more, nothing is counted again.
    pub(crate) fn settle_again(
        &mut self,
        scopes: &[(Scope, Limits)],
        want: Want,
        used: Tokens,
        now: Instant,
    ) {
        let is_held = |(scope, limits): &(Scope, Limits)| {
            let home = self.home(scope);
            limits.concurrent.is_some()
                && self.by_scope.get(&home).is_some_and(|kept| kept.account.holds(want.id, now))
        };
        if scopes.iter().any(is_held) {
            self.settle(scopes, want, used, now);
        }
    }

    /// The call is still under way, and holds its places from now on.
    pub(crate) fn renew(&mut self, scopes: &[(Scope, Limits)], id: u64, lasts: Duration, now: Instant) {
        for (scope, limits) in scopes {
            let home = self.home(scope);
            // What it was reserved under stands, but for an account that was forgotten.
            if let Some(kept) = self.by_scope.get_mut(&home) {
                kept.account.renew(id, lasts, now);
            } else {
                self.on_account(scope, limits, now, |account| account.renew(id, lasts, now));
            }
        }
    }

    /// What is left in the scopes, with nothing taken.
    pub(crate) fn left(&self, scopes: &[(Scope, Limits)], now: Instant) -> Left {
        let left = scopes.iter().map(|(scope, limits)| match self.by_scope.get(scope) {
            Some(kept) => kept.account.left(limits, now),
            None => Account::default().left(limits, now),
        });
        left.fold(Left::default(), Left::tighter)
    }

    /// Whose account counts for `scope`: its own, or the one that newcomers share.
    pub(crate) fn home(&self, scope: &Scope) -> Scope {
        if self.by_scope.contains_key(scope) { scope.clone() } else { Scope::Overflow }
    }

    pub(crate) fn find(&self, scope: &Scope) -> Option<(&Account, &Limits)> {
        self.by_scope.get(scope).map(|kept| (&kept.account, &kept.limits))
    }

    /// Takes in what was kept of an account, if there is room.
    pub(crate) fn restore(&mut self, scope: Scope, account: Account, limits: Limits) {
        if self.by_scope.len() < self.most {
            let (first, last) = (Instant::default(), Instant::default());
            self.by_scope.insert(scope, Kept { account, limits, first, last });
        }
    }

    /// Takes a step on the account of `scope`, or on the one that newcomers share.
    fn on_account<T>(
        &mut self,
        scope: &Scope,
        limits: &Limits,
        now: Instant,
        step: impl FnOnce(&mut Account) -> T,
    ) -> T {
        // Most are known, and neither their names nor their limits are copied.
        if let Some(kept) = self.by_scope.get_mut(scope) {
            if kept.limits != *limits {
                kept.limits.clone_from(limits);
            }
            kept.last = now;
            return step(&mut kept.account);
        }
        if self.by_scope.len() >= self.most {
            self.sweep(now);
        }
        // Of addresses there is no end; callers and routes are as many as the configuration has.
        let is_crowded = self.by_scope.len() >= self.most && matches!(scope, Scope::Address(_));
        let scope = if is_crowded { Scope::Overflow } else { scope.clone() };
        let kept = self.by_scope.entry(scope).or_insert_with(|| Kept { first: now, ..Kept::default() });
        kept.limits.clone_from(limits);
        kept.last = now;
        step(&mut kept.account)
    }

    /// Forgets who owes nothing; at most once a second, so that a flood cannot make it the main work.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept).as_secs() > 0 || self.swept == Instant::default() {
            self.swept = now;
            self.by_scope.retain(|_, kept| !kept.account.is_empty(&kept.limits, now) || kept.is_regular(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::limits::account::HELD;
    use crate::limits::rate::Rate;
    use crate::store::protocol::{Held, Reservation};

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn from(address: u32) -> Reservation {
        let limits =
            Limits { requests: vec![Rate { count: 1, per: Duration::from_mins(1) }], ..Limits::default() };
        Reservation {
            want: Want { id: u64::from(address), tokens: Tokens(0), lasts: HELD },
            scopes: vec![(Scope::Address(Ipv4Addr::from_bits(address).into()), limits)],
            held: Held::InStore,
        }
    }

    fn reserve(accounts: &mut Accounts, reservation: &Reservation, now: Instant) -> Result<Left, Refused> {
        accounts.reserve(&reservation.scopes, reservation.want, now)
    }

    #[test]
    fn a_million_addresses_make_neither_memory_nor_a_spent_account_new() {
        let mut accounts = Accounts::new(1000);
        reserve(&mut accounts, &from(0), at(1)).unwrap();
        let let_in =
            (1..1_000_000).filter(|address| reserve(&mut accounts, &from(*address), at(2)).is_ok()).count();
        assert!(accounts.by_scope.len() <= 1001, "{} accounts", accounts.by_scope.len());
        assert_eq!(let_in, 1000, "each with an account of its own, and one for all the others");
        assert!(reserve(&mut accounts, &from(0), at(3)).is_err(), "it was spent, and it still is");
        reserve(&mut accounts, &from(2_000_000), at(70_000)).unwrap();
        assert!(accounts.by_scope.len() < 10, "whoever owes nothing is forgotten");
    }

    #[test]
    fn a_flood_of_addresses_takes_nobody_else_s_account() {
        let mut accounts = Accounts::new(1000);
        let mut caller = from(7);
        caller.scopes[0].0 = Scope::Caller { tenant: "t".into(), name: "k".into() };
        reserve(&mut accounts, &from(1), at(1)).unwrap();
        reserve(&mut accounts, &from(1), at(61_000)).unwrap();
        // What it owed has run off by now.
        for address in 100..10_000 {
            let _ = reserve(&mut accounts, &from(address), at(122_000));
        }
        reserve(&mut accounts, &from(1), at(122_001)).unwrap();
        reserve(&mut accounts, &caller, at(122_001)).unwrap();
        assert_eq!(accounts.home(&from(1).scopes[0].0), from(1).scopes[0].0);
        reserve(&mut accounts, &from(10_001), at(122_002)).unwrap_err();
    }

    #[test]
    fn all_scopes_or_none() {
        let mut accounts = Accounts::new(10);
        let (mut both, second) = (from(1), from(2));
        both.scopes.extend(second.scopes.clone());
        reserve(&mut accounts, &second, at(1)).unwrap();
        reserve(&mut accounts, &both, at(1)).unwrap_err();
        reserve(&mut accounts, &from(1), at(1)).unwrap();
    }
}
