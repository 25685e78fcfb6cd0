//! How long slots are held, and so how long a turn is in coming.

use std::time::Duration;

/// A new time counts one part in this many.
const MEMORY: u64 = 8;

const SHORTEST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// When nothing is known yet.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Moving average of the time from a slot's grant to its return.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// In microseconds.
    hold: Option<u64>,
}

impl Pace {
    /// A slot came back. A time of zero says nothing: nobody told the time in between.
    pub(super) fn learn(&mut self, held: Duration) {
        let held = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        if held > 0 {
            self.hold = Some(self.hold.map_or(held, |hold| hold - hold / MEMORY + held / MEMORY));
        }
    }

    /// How long it takes until a slot has come free so many times, of `limit` that are held all the time.
    /// Nothing before the first one has come back.
    pub(super) fn wait(self, turns: u64, limit: u32) -> Option<Duration> {
        let micros = u128::from(self.hold?) * u128::from(turns) / u128::from(limit.max(1));
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

/// When to come back, of an estimate.
pub(super) fn retry_after(estimate: Option<Duration>) -> Duration {
    estimate.unwrap_or(FIRST_RETRY).clamp(SHORTEST_RETRY, LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_takes_its_share_of_a_hold() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(5, 10), None);
        pace.learn(Duration::ZERO);
        assert_eq!(pace.wait(5, 10), None, "no time is no news");
        pace.learn(Duration::from_millis(80));
        for (turns, limit, millis) in [(1, 1, 80), (1, 8, 10), (5, 10, 40), (20, 10, 160), (1, 0, 80)] {
            assert_eq!(pace.wait(turns, limit), Some(Duration::from_millis(millis)), "{turns} of {limit}");
        }
        pace.learn(Duration::from_millis(160));
        assert_eq!(pace.wait(1, 1), Some(Duration::from_millis(90)));
    }

    #[test]
    fn the_longest_times_saturate() {
        let mut pace = Pace::default();
        pace.learn(Duration::MAX);
        pace.learn(Duration::MAX);
        assert!(pace.wait(u64::MAX, 1) > Some(Duration::from_hours(1_000_000)));
    }

    #[test]
    fn the_time_to_come_back_has_bounds() {
        for (estimate, millis) in [(None, 1000), (Some(7), 100), (Some(7000), 7000), (Some(70_000), 30_000)] {
            let retry = retry_after(estimate.map(Duration::from_millis));
            assert_eq!(retry, Duration::from_millis(millis), "{estimate:?}");
        }
    }
}
