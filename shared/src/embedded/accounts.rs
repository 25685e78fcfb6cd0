//! Accounts in one process: bounded in number, and no flood of newcomers makes a spent one new.

use std::collections::BTreeMap;

use crate::account::{Account, Denied, Left, Scope, Want};
use crate::config::Limits;
use crate::time::Instant;
use crate::usage::Tokens;

/// The accounts of an embedded store. The steps are synchronous; whoever shares it locks it.
#[derive(Debug)]
pub(crate) struct Accounts {
    by_scope: BTreeMap<Scope, (Account, Limits)>,
    most: usize,
    swept: Instant,
}

/// Nothing is reserved, in no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Index of the scope that refused.
    pub(crate) at: usize,
    pub(crate) denied: Denied,
}

impl Accounts {
    /// Holds at most `most` accounts. Beyond that, those that owe nothing are forgotten; if all owe, newcomers
    /// share one account until some do not.
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

    /// What is left in the scopes, with nothing taken.
    pub(crate) fn left(&self, scopes: &[(Scope, Limits)], now: Instant) -> Left {
        let left = scopes.iter().map(|(scope, limits)| match self.by_scope.get(scope) {
            Some((account, _)) => account.left(limits, now),
            None => Account::default().left(limits, now),
        });
        left.fold(Left::default(), Left::tighter)
    }

    /// Whose account counts for `scope`: its own, or the one that newcomers share.
    pub(crate) fn home(&self, scope: &Scope) -> Scope {
        if self.by_scope.contains_key(scope) { scope.clone() } else { Scope::Overflow }
    }

    pub(crate) fn find(&self, scope: &Scope) -> Option<(&Account, &Limits)> {
        self.by_scope.get(scope).map(|(account, limits)| (account, limits))
    }

    /// Takes in what was kept of an account, if there is room.
    pub(crate) fn restore(&mut self, scope: Scope, account: Account, limits: Limits) {
        if self.by_scope.len() < self.most {
            self.by_scope.insert(scope, (account, limits));
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
        if let Some((account, known)) = self.by_scope.get_mut(scope) {
            if known != limits {
                known.clone_from(limits);
            }
            return step(account);
        }
        if self.by_scope.len() >= self.most {
            self.sweep(now);
        }
        let scope = if self.by_scope.len() < self.most { scope.clone() } else { Scope::Overflow };
        let (account, known) = self.by_scope.entry(scope).or_default();
        known.clone_from(limits);
        step(account)
    }

    /// Forgets who owes nothing; at most once a second, so that a flood cannot make it the main work.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept).as_secs() > 0 || self.swept == Instant::default() {
            self.swept = now;
            self.by_scope.retain(|_, (account, limits)| !account.is_empty(limits, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::limit::Rate;
    use crate::platform::{Held, Reservation};

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn from(address: u32) -> Reservation {
        let limits =
            Limits { requests: vec![Rate { count: 1, per: Duration::from_mins(1) }], ..Limits::default() };
        Reservation {
            want: Want { id: u64::from(address), tokens: Tokens(0), expires: at(60_000) },
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
    fn all_scopes_or_none() {
        let mut accounts = Accounts::new(10);
        let (mut both, second) = (from(1), from(2));
        both.scopes.extend(second.scopes.clone());
        reserve(&mut accounts, &second, at(1)).unwrap();
        reserve(&mut accounts, &both, at(1)).unwrap_err();
        reserve(&mut accounts, &from(1), at(1)).unwrap();
    }
}
