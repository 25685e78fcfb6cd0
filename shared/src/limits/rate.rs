//! Rate limits: how much of something a caller may have in a time.
//!
//! GCRA in its leaky-bucket form, in whole numbers: a debt that grows by what is taken and runs off at the rate,
//! and may not exceed one period's worth. A small record and pure steps, so that the same arithmetic runs in a
//! process, in a Redis script and in a Durable Object. "Not yet" and "never" are different answers.

use std::time::Duration;

use crate::time::Instant;
use crate::wire::pack::packed;

/// So many in such a time; the whole of it may be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u64,
    /// At least a second.
    pub per: Duration,
}

/// What has been taken and has not run off yet. The default has taken nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// In units of 1/`unit` of one: whole numbers at any rate.
    debt: u128,
    /// Of the rate that it was last counted at; 0 where nothing was counted.
    unit: u64,
    at: Instant,
}

packed!(struct Meter { debt, unit, at } if |meter| {
    let owed = meter.debt.div_ceil(u128::from(meter.unit.max(1)));
    owed <= u128::from(EXACT) && meter.unit <= EXACT
});

/// What is left, as the headers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// Why it cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// So long from now it can.
    NotYet { wait: Duration },
    /// It is more than the limit.
    Never,
}

/// What every store counts exactly: scripts in Redis count in doubles.
pub const EXACT: u64 = (1 << 53) - 1;

/// A rate in the smallest whole numbers: `drain` units of 1/`unit` of one run off in a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) unit: u64,
    pub(crate) drain: u64,
}

impl Rate {
    /// Whether every store can count it: twice its limit, in its units, is a whole number that a double holds.
    pub fn is_exact(self) -> bool {
        self.terms().capacity(self) <= u128::from(EXACT / 2)
    }

    pub(crate) fn terms(self) -> Terms {
        let per = u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX).max(1);
        let count = self.count.max(1);
        let common = greatest_common_divisor(count, per);
        Terms { unit: per / common, drain: count / common }
    }
}

impl Terms {
    fn capacity(self, rate: Rate) -> u128 {
        self.units(rate.count)
    }

    fn units(self, amount: u64) -> u128 {
        u128::from(amount) * u128::from(self.unit)
    }

    /// Beyond it nothing more is owed.
    fn most(self, rate: Rate) -> u128 {
        (2 * self.capacity(rate)).max(u128::from(EXACT))
    }

    /// How long so many units take to run off, rounded up.
    fn time_for(self, units: u128) -> Duration {
        let millis = units.div_ceil(u128::from(self.drain));
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl Meter {
    /// Takes `amount`, if it may be had now; a denial changes nothing but the count of time.
    pub fn take(&mut self, rate: Rate, amount: u64, now: Instant) -> Result<(), Denial> {
        let terms = rate.terms();
        self.run_off(terms, now);
        let (capacity, wanted) = (terms.capacity(rate), terms.units(amount));
        if wanted > capacity {
            return Err(Denial::Never);
        }
        let after = self.debt + wanted;
        if after > capacity {
            return Err(Denial::NotYet { wait: terms.time_for(after - capacity) });
        }
        self.debt = after;
        Ok(())
    }

    /// Corrects what was taken as `reserved` to what was `used`. More than was reserved is owed: the debt may
    /// exceed the limit by it, and the next one waits for that much longer.
    pub fn settle(&mut self, rate: Rate, reserved: u64, used: u64, now: Instant) {
        let terms = rate.terms();
        self.run_off(terms, now);
        let owed = (self.debt + terms.units(used)).min(terms.most(rate));
        self.debt = owed.saturating_sub(terms.units(reserved));
    }

    /// What is left at `now`.
    pub fn allowance(&self, rate: Rate, now: Instant) -> Allowance {
        let (terms, mut then) = (rate.terms(), *self);
        then.run_off(terms, now);
        let remaining = terms.capacity(rate).saturating_sub(then.debt) / u128::from(terms.unit);
        Allowance {
            limit: rate.count,
            remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
            reset: terms.time_for(then.debt),
        }
    }

    /// Nothing is owed any more: the record need not be kept.
    pub fn is_empty(&self, rate: Rate, now: Instant) -> bool {
        let mut then = *self;
        then.run_off(rate.terms(), now);
        then.debt == 0
    }

    /// When nothing will be owed any more.
    pub fn ends(&self, rate: Rate) -> Instant {
        let (terms, mut then) = (rate.terms(), *self);
        then.run_off(terms, self.at);
        self.at.after(terms.time_for(then.debt))
    }

    /// The clock that counted it may have been ahead: what is owed runs off from now on, and waits for nothing.
    pub(crate) fn clamp(&mut self, now: Instant) {
        if self.at > now {
            self.at = Instant::from_micros(now.as_micros() - now.as_micros() % 1000);
        }
    }

    /// Time is counted in whole milliseconds; the rest of one is counted next time.
    fn run_off(&mut self, terms: Terms, now: Instant) {
        if self.unit != terms.unit {
            // The rate has changed: what is owed is still owed, in whole ones.
            let owed = if self.unit == 0 { 0 } else { self.debt.div_ceil(u128::from(self.unit)) };
            (self.debt, self.unit) = (owed * u128::from(terms.unit), terms.unit);
        }
        self.clamp(now);
        let millis = now.since(self.at).as_millis();
        if millis > 0 {
            self.debt = self.debt.saturating_sub(millis * u128::from(terms.drain));
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            self.at = self.at.after(Duration::from_millis(millis));
        }
    }
}

/// Of two numbers above 0.
fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_A_MINUTE: Rate = Rate { count: 10, per: Duration::from_mins(1) };

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_period_may_be_taken_at_once_and_comes_back_evenly() {
        let mut meter = Meter::default();
        for _ in 0..10 {
            assert_eq!(meter.take(TEN_A_MINUTE, 1, at(1000)), Ok(()));
        }
        let wait = Duration::from_secs(6);
        assert_eq!(meter.take(TEN_A_MINUTE, 1, at(1000)), Err(Denial::NotYet { wait }));
        assert!(meter.take(TEN_A_MINUTE, 1, at(6999)).is_err());
        assert_eq!(meter.take(TEN_A_MINUTE, 1, at(7000)), Ok(()));
        let allowance = meter.allowance(TEN_A_MINUTE, at(37_000));
        assert_eq!(allowance, Allowance { limit: 10, remaining: 5, reset: Duration::from_secs(30) });
        assert!(!meter.is_empty(TEN_A_MINUTE, at(66_000)));
        assert!(meter.is_empty(TEN_A_MINUTE, at(67_000)));
    }

    #[test]
    fn more_than_the_limit_never_fits() {
        assert_eq!(Meter::default().take(TEN_A_MINUTE, 11, at(0)), Err(Denial::Never));
    }

    #[test]
    fn what_was_not_used_comes_back_and_what_was_overdrawn_is_owed() {
        let mut meter = Meter::default();
        meter.take(TEN_A_MINUTE, 8, at(0)).unwrap();
        meter.settle(TEN_A_MINUTE, 8, 2, at(0));
        assert_eq!(meter.allowance(TEN_A_MINUTE, at(0)).remaining, 8);
        meter.take(TEN_A_MINUTE, 8, at(0)).unwrap();
        meter.settle(TEN_A_MINUTE, 8, 18, at(0));
        assert_eq!(meter.allowance(TEN_A_MINUTE, at(0)).remaining, 0);
        let wait = Duration::from_secs(66);
        assert_eq!(meter.take(TEN_A_MINUTE, 1, at(0)), Err(Denial::NotYet { wait }));
    }

    #[test]
    fn a_rate_is_counted_in_the_smallest_whole_numbers() {
        let (second, minute, day) =
            (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(24));
        for (count, per, unit, drain, is_exact) in [
            (10, minute, 6000, 1, true),
            (2_000_000, minute, 3, 100, true),
            (1000, second, 1, 1, true),
            (7, second, 1000, 7, true),
            (52_000_000, day, 108, 65, true),
            (999_999_937, day, 86_400_000, 999_999_937, false),
            (u64::MAX, second, 200, u64::MAX / 5, false),
        ] {
            let rate = Rate { count, per };
            assert_eq!(rate.terms(), Terms { unit, drain }, "{rate:?}");
            assert_eq!(rate.is_exact(), is_exact, "{rate:?}");
        }
    }

    #[test]
    fn what_is_owed_is_owed_at_a_new_rate_as_well() {
        let rate = |count, per| Rate { count, per };
        for (new, remaining, why) in [
            (rate(20, Duration::from_mins(1)), 12, "more"),
            (rate(9, Duration::from_mins(1)), 1, "less, in other units"),
            (rate(10, Duration::from_secs(1)), 2, "the same in less time"),
            (rate(3, Duration::from_hours(24)), 0, "less than is owed"),
        ] {
            let mut meter = Meter::default();
            meter.take(TEN_A_MINUTE, 8, at(0)).unwrap();
            assert_eq!(meter.allowance(new, at(0)).remaining, remaining, "{why}");
        }
    }

    #[test]
    fn what_is_owed_has_a_bound() {
        let mut meter = Meter::default();
        meter.settle(TEN_A_MINUTE, 0, u64::MAX, at(0));
        meter.settle(TEN_A_MINUTE, 0, u64::MAX, at(0));
        assert_eq!(meter.debt, u128::from(EXACT));
        meter.settle(TEN_A_MINUTE, u64::MAX, 0, at(0));
        assert!(meter.is_empty(TEN_A_MINUTE, at(0)));
    }

    proptest! {
        /// Invariant 1, for one meter: in any window no more than the limit and what runs off in the window.
        #[test]
        fn no_window_has_more_than_the_limit_and_what_runs_off(
            count in 1_u64..50, seconds in 1_u64..120, steps in proptest::collection::vec((0_u64..5000, 1_u64..5), 1..200),
        ) {
            let rate = Rate { count, per: Duration::from_secs(seconds) };
            let (mut meter, mut now, mut taken) = (Meter::default(), 0, Vec::new());
            for (pause, amount) in steps {
                now += pause;
                if meter.take(rate, amount, at(now)).is_ok() {
                    taken.push((now, amount));
                }
            }
            for (first, (from, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (to, amount) in &taken[first..] {
                    sum += amount;
                    let ran_off = (to - from) * count / (seconds * 1000) + 1;
                    prop_assert!(sum <= count + ran_off, "{sum} in {} ms", to - from);
                }
            }
        }

        /// Whoever waits as long as he was told is served.
        #[test]
        fn the_wait_that_is_told_is_enough(count in 1_u64..1_000_000, amount in 1_u64..1000, spent in 0_u64..2000) {
            let rate = Rate { count, per: Duration::from_mins(1) };
            let mut meter = Meter::default();
            meter.settle(rate, 0, spent, at(0));
            match meter.take(rate, amount, at(0)) {
                Ok(()) => {}
                Err(Denial::Never) => prop_assert!(amount > count),
                Err(Denial::NotYet { wait }) => {
                    let then = Instant::default().after(wait);
                    prop_assert_eq!(meter.take(rate, amount, then), Ok(()));
                }
            }
        }
    }
}
