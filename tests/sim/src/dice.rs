//! Chance, from a seed.

use std::cell::Cell;
use std::time::Duration;

use weir::random;

/// A sequence of rolls (`SplitMix64`). The same seed gives the same sequence.
#[derive(Debug)]
pub(crate) struct Dice(Cell<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(random::scramble(seed)))
    }

    /// 64 bits.
    pub(crate) fn roll(&self) -> u64 {
        let state = self.0.get();
        self.0.set(state.wrapping_add(random::STEP));
        random::scramble(state)
    }

    /// A number of `least..=most`.
    pub(crate) fn between(&self, least: u64, most: u64) -> u64 {
        let span = most.saturating_sub(least).saturating_add(1);
        least + self.roll() % span.max(1)
    }

    /// An index of something that has `count` of them.
    pub(crate) fn index(&self, count: usize) -> usize {
        usize::try_from(self.roll() % (count.max(1) as u64)).unwrap_or(0)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    /// One of `all`, which is not empty.
    pub(crate) fn pick<T: Clone>(&self, all: &[T]) -> T {
        all[self.index(all.len())].clone()
    }
}
