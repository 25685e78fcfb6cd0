//! The embedded store: what the process knows of its upstreams, and its retry budget.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir::platform::{Ask, Opened};
use weir::retry::RetryBudget;
use weir::standing::Standing;
use weir::time::Instant;

/// Small records under short locks; the steps are the core's.
#[derive(Debug)]
pub(crate) struct Store {
    standings: Mutex<BTreeMap<String, Standing>>,
    retries: Mutex<RetryBudget>,
}

impl Store {
    pub(crate) fn new(now: Instant) -> Self {
        Self { standings: Mutex::default(), retries: Mutex::new(RetryBudget::new(now)) }
    }

    pub(crate) fn open(&self, ask: Ask<'_>, now: Instant) -> Opened {
        if ask.is_request {
            lock(&self.retries).deposit(now);
        }
        if ask.standings.is_empty() {
            return Opened::default();
        }
        let known = lock(&self.standings);
        let standing = |name: &str| known.get(name).copied().unwrap_or_default();
        Opened { standings: ask.standings.iter().map(|(id, name)| (*id, standing(name))).collect() }
    }

    pub(crate) fn withdraw_retry(&self, now: Instant) -> bool {
        lock(&self.retries).withdraw(now)
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
