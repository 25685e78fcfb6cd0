//! The store of one process: every step there is, over records in memory.
//!
//! Plain and synchronous: a shell puts it behind a lock, a cell or nothing. Each of its maps is bounded.

mod accounts;
mod breakers;

use std::collections::BTreeMap;
use std::time::Duration;

use self::accounts::Accounts;
use self::breakers::Breakers;
use crate::breaker::Report;
use crate::control::{Entry, Full, Listing, Order, Overrides};
use crate::platform::{Ask, Closing, Finding, Opened};
use crate::retry::RetryBudget;
use crate::standing::Standing;
use crate::time::Instant;

/// Accounts at most; some 300 bytes each.
const MOST_ACCOUNTS: usize = 100_000;

/// Breakers at most.
const MOST_BREAKERS: usize = 10_000;

/// Overrides of breakers at most.
const MOST_OVERRIDES: usize = 1000;

/// Standings, the retry budget, accounts, and breakers with what operators say of them.
#[derive(Debug)]
pub struct Store {
    standings: BTreeMap<String, Standing>,
    retries: RetryBudget,
    accounts: Accounts,
    breakers: Breakers,
}

impl Store {
    pub fn new(now: Instant) -> Self {
        Self {
            standings: BTreeMap::new(),
            retries: RetryBudget::new(now),
            accounts: Accounts::new(MOST_ACCOUNTS),
            breakers: Breakers::new(MOST_BREAKERS, Overrides::new(MOST_OVERRIDES)),
        }
    }

    /// The one operation before the upstream call.
    pub fn open(&mut self, ask: Ask<'_>, now: Instant) -> Opened {
        let mut opened = Opened::default();
        if let Some(reservation) = ask.reservation {
            self.retries.deposit(now);
            match self.accounts.reserve(reservation, now) {
                Ok(left) => opened.left = left,
                Err(denied) => {
                    opened.left = self.accounts.left(reservation, now);
                    opened.denied = Some(denied);
                    return opened;
                }
            }
        }
        let standing = |name: &str| self.standings.get(name).copied().unwrap_or_default();
        opened.standings = ask.standings.iter().map(|(id, name)| (*id, standing(name))).collect();
        opened.gates = ask.breakers.iter().map(|name| self.breakers.gate(name, now)).collect();
        opened
    }

    /// The one operation behind it. `roll` is for the jitter of open times.
    pub fn close(&mut self, closing: &Closing, now: Instant, roll: u64) {
        self.accounts.settle(closing, now);
        let id = closing.reservation.want.id;
        for finding in &closing.findings {
            self.breakers.observe(finding, Report { id, now, roll });
        }
        if let Some(abandoned) = &closing.abandoned {
            self.breakers.release(abandoned, id);
        }
    }

    /// Spends one retry of the budget, if there is one and the breaker lets it through.
    pub fn withdraw_retry(&mut self, breaker: &str, now: Instant) -> bool {
        !self.breakers.gate(breaker, now).is_open() && self.retries.withdraw(now)
    }

    pub fn lease_probe(&mut self, breaker: &str, id: u64, now: Instant) -> bool {
        self.breakers.lease_probe(breaker, id, now)
    }

    pub fn report_probe(&mut self, finding: &Finding, report: Report) {
        self.breakers.observe(finding, report);
    }

    /// Does as an operator says, and tells what has become of the breaker.
    pub fn control(&mut self, order: &Order, now: Instant) -> Result<Entry, Full> {
        self.breakers.obey(order, now)
    }

    /// The breakers of these names, those with an override, and of the others those that are not closed.
    pub fn breakers(&self, names: &[String], now: Instant) -> Listing {
        self.breakers.listing(names, now)
    }

    /// A call goes to an upstream.
    pub fn start(&mut self, upstream: &str) {
        self.standing(upstream).start();
    }

    /// A call at an upstream is over.
    pub fn finish(&mut self, upstream: &str) {
        self.standing(upstream).finish();
    }

    /// A first byte came, or an attempt failed.
    pub fn sample(&mut self, upstream: &str, after: Duration, failed: bool, now: Instant) {
        self.standing(upstream).sample(after, failed, now);
    }

    /// Calls at all upstreams.
    pub fn in_flight(&self) -> u64 {
        self.standings.values().map(|standing| standing.in_flight).sum()
    }

    /// Upstreams come from the configuration, so the map is as small as that.
    fn standing(&mut self, upstream: &str) -> &mut Standing {
        self.standings.entry(upstream.to_owned()).or_default()
    }
}
