//! The embedded store: what the process knows of its upstreams, and its retry budget.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir::accounts::Accounts;
use weir::breaker::{Gate, Report};
use weir::breakers::Breakers;
use weir::platform::{Ask, Closing, Finding, Opened};
use weir::retry::RetryBudget;
use weir::standing::Standing;
use weir::time::Instant;

/// Small records under short locks; the steps are the core's.
#[derive(Debug)]
pub(crate) struct Store {
    standings: Mutex<BTreeMap<String, Standing>>,
    retries: Mutex<RetryBudget>,
    accounts: Mutex<Accounts>,
    breakers: Mutex<Breakers>,
}

/// Breakers at most.
const MOST_BREAKERS: usize = 10_000;

/// Accounts at most: some 300 bytes each.
const MOST_ACCOUNTS: usize = 100_000;

impl Store {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            standings: Mutex::default(),
            retries: Mutex::new(RetryBudget::new(now)),
            accounts: Mutex::new(Accounts::new(MOST_ACCOUNTS)),
            breakers: Mutex::new(Breakers::new(MOST_BREAKERS)),
        }
    }

    pub(crate) fn open(&self, ask: Ask<'_>, now: Instant) -> Opened {
        let mut opened = Opened::default();
        if let Some(reservation) = ask.reservation {
            lock(&self.retries).deposit(now);
            if !reservation.scopes.is_empty() {
                let mut accounts = lock(&self.accounts);
                match accounts.reserve(reservation, now) {
                    Ok(left) => opened.left = left,
                    Err(denied) => {
                        opened.left = accounts.left(reservation, now);
                        opened.denied = Some(denied);
                        return opened;
                    }
                }
            }
        }
        if !ask.standings.is_empty() {
            let known = lock(&self.standings);
            let standing = |name: &str| known.get(name).copied().unwrap_or_default();
            opened.standings = ask.standings.iter().map(|(id, name)| (*id, standing(name))).collect();
        }
        if !ask.breakers.is_empty() {
            let breakers = lock(&self.breakers);
            opened.gates = ask.breakers.iter().map(|name| breakers.gate(name, now)).collect();
        }
        opened
    }

    pub(crate) fn settle(&self, closing: &Closing, now: Instant, roll: u64) {
        if !closing.reservation.scopes.is_empty() {
            lock(&self.accounts).settle(closing, now);
        }
        let id = closing.reservation.want.id;
        let mut breakers = lock(&self.breakers);
        for finding in &closing.findings {
            breakers.observe(finding, Report { id, now, roll });
        }
        if let Some(abandoned) = &closing.abandoned {
            breakers.release(abandoned, id);
        }
    }

    pub(crate) fn lease_probe(&self, breaker: &str, id: u64, now: Instant) -> bool {
        lock(&self.breakers).lease_probe(breaker, id, now)
    }

    pub(crate) fn report_probe(&self, finding: &Finding, report: Report) {
        lock(&self.breakers).observe(finding, report);
    }

    pub(crate) fn withdraw_retry(&self, breaker: &str, now: Instant) -> bool {
        let is_open = matches!(lock(&self.breakers).gate(breaker, now), Gate::Open { .. });
        !is_open && lock(&self.retries).withdraw(now)
    }

    pub(crate) fn start(&self, upstream: &str) {
        self.change(upstream, Standing::start);
    }

    pub(crate) fn finish(&self, upstream: &str) {
        self.change(upstream, Standing::finish);
    }

    pub(crate) fn sample(&self, upstream: &str, after: Duration, failed: bool, now: Instant) {
        self.change(upstream, |standing| standing.sample(after, failed, now));
    }

    /// Upstreams come from the configuration, so the map is as small as that.
    fn change(&self, upstream: &str, step: impl FnOnce(&mut Standing)) {
        let mut standings = lock(&self.standings);
        if !standings.contains_key(upstream) {
            standings.insert(upstream.to_owned(), Standing::default());
        }
        if let Some(standing) = standings.get_mut(upstream) {
            step(standing);
        }
    }
}

/// No step leaves a record half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
