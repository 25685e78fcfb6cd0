//! What is known of an upstream from the calls that went to it.

use std::time::Duration;

use crate::ledger::connect_fault::ConnectFault;
use crate::time::Instant;

/// A small record, kept by the platform's store and changed by the steps below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Moving average of the time to the first byte, in microseconds; 0 before the first call.
    average: u64,
    sampled: Instant,
    /// Calls that are on their way or being answered.
    pub in_flight: u64,
    /// Why there was no connection when there was none last, and when that was.
    pub unconnected: Option<(ConnectFault, Instant)>,
}

impl Standing {
    /// After this long without a call an average counts half: a slow upstream is tried again.
    const HALF_LIFE: Duration = Duration::from_secs(10);

    pub fn start(&mut self) {
        self.in_flight += 1;
    }

    /// A call is over, however it ended.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A first byte came after `wait`; a failure is sampled as the time it took, at least a second, so that an
    /// upstream that fails fast is not the fastest. A sample above the average replaces it (peak EWMA).
    pub fn sample(&mut self, wait: Duration, failed: bool, now: Instant) {
        let wait = if failed { wait.max(Duration::from_secs(1)) } else { wait };
        let sample = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let average = self.cost(now);
        self.average = if sample >= average { sample } else { average - (average - sample).div_ceil(4) };
        self.sampled = now;
    }

    /// The average as it counts now, in microseconds.
    pub fn cost(&self, now: Instant) -> u64 {
        let age = now.since(self.sampled).as_micros();
        let half_lives = u32::try_from(age / Self::HALF_LIFE.as_micros()).unwrap_or(u32::MAX);
        self.average.checked_shr(half_lives).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * SECOND)
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let mut standing = Standing::default();
        standing.sample(Duration::from_millis(100), false, at(1));
        standing.sample(Duration::from_secs(2), false, at(1));
        assert_eq!(standing.cost(at(1)), 2 * SECOND);
        standing.sample(Duration::from_millis(100), false, at(1));
        assert_eq!(standing.cost(at(1)), 1_525_000);
        assert_eq!(standing.cost(at(11)), 762_500);
        assert_eq!(standing.cost(at(10_000)), 0);
    }

    #[test]
    fn failing_fast_is_not_being_fast() {
        let mut standing = Standing::default();
        standing.sample(Duration::from_millis(1), true, at(1));
        assert_eq!(standing.cost(at(1)), SECOND);
    }

    #[test]
    fn permits_return_to_zero_and_not_below() {
        let mut standing = Standing::default();
        standing.start();
        standing.finish();
        standing.finish();
        assert_eq!(standing.in_flight, 0);
    }
}
