//! The retry budget: at any time at most a fifth of the requests so far, and ten a second, the first second
//! at once.

use weir::time::Instant;

use super::Wrong;

/// All requests and all retries of one store.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    since: Instant,
    requests: u64,
    granted: u64,
}

impl Retries {
    pub(crate) fn since(now: Instant) -> Self {
        Self { since: now, ..Self::default() }
    }

    pub(crate) fn request(&mut self) {
        self.requests += 1;
    }

    /// The store has granted one.
    pub(crate) fn retry(&mut self, now: Instant) -> Result<(), Wrong> {
        self.granted += 1;
        let Self { since, requests, granted } = self;
        let micros = now.since(*since).as_micros();
        // In millionths of a retry.
        let allowed = 10_000_000 + 10 * micros + u128::from(*requests) * 200_000;
        if u128::from(*granted) * 1_000_000 > allowed {
            return Err(format!("{granted} retries for {requests} requests within {micros} us"));
        }
        Ok(())
    }
}
