//! What a run comes to.

use std::fmt;

use super::{Moment, Run};

/// What a run comes to. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of the flood's requests, those that were served while it lasted.
    pub served: Share,
    /// From the flood's begin until the ready pods could serve all of it; `None` if they never could.
    pub enough: Option<usize>,
    /// Replicas at the most.
    pub peak: u32,
    /// Times that growing turned to shrinking or back while the flood lasted.
    pub turns: usize,
    /// How the pods went that the flood had brought; `None` if it brought none.
    pub way_down: Option<WayDown>,
}

/// How the pods went, in seconds from the flood's end; `None` is longer than the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayDown {
    /// Until the first was removed.
    pub first_removed: Option<usize>,
    /// Until none was left above the minimum.
    pub at_minimum: Option<usize>,
}

/// A part of a whole, in thousandths, rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{} %", self.0 / 10),
            tenth => write!(f, "{}.{tenth} %", self.0 / 10),
        }
    }
}

impl Run {
    /// Sums it up; `capacity` is a pod's, in requests a second.
    pub fn report(&self, capacity: u64) -> Report {
        let (flood, after) =
            (self.between(self.begins, self.ends), self.between(self.ends, self.moments.len()));
        let sum = |of: fn(&Moment) -> u64| flood.iter().map(of).sum::<u64>();
        let (served, fresh) = (sum(|moment| moment.served), sum(|moment| moment.fresh).max(1));
        let enough = |moment: &Moment| u64::from(moment.ready) * capacity >= moment.fresh;
        let last = flood.last().map_or(0, |moment| moment.replicas);
        let way_down = WayDown {
            first_removed: after.iter().position(|moment| moment.replicas < last),
            at_minimum: after.iter().position(|moment| moment.replicas <= self.minimum),
        };
        Report {
            served: Share((served * 1_000 + fresh / 2) / fresh),
            enough: flood.iter().position(enough),
            peak: self.moments.iter().map(|moment| moment.replicas).max().unwrap_or(0),
            turns: turns(flood.iter().map(|moment| moment.replicas)),
            way_down: (last > self.minimum).then_some(way_down),
        }
    }

    fn between(&self, from: usize, to: usize) -> &[Moment] {
        self.moments.get(from..to).unwrap_or_default()
    }
}

/// Times that rising turned to falling or back.
fn turns(replicas: impl Iterator<Item = u32>) -> usize {
    let (mut turns, mut last, mut direction) = (0, None, None);
    for now in replicas {
        let moved = last.filter(|&before| before != now).map(|before| now > before);
        if let Some(rising) = moved {
            turns += usize::from(direction.is_some_and(|before: bool| before != rising));
            direction = Some(rising);
        }
        last = Some(now);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_a_change_of_direction_and_rests_do_not_count() {
        for (replicas, expected) in [
            (vec![], 0),
            (vec![3, 3], 0),
            (vec![3, 5, 5, 9], 0),
            (vec![3, 5, 5, 4, 4, 6], 2),
            (vec![9, 3, 9], 1),
        ] {
            assert_eq!(turns(replicas.iter().copied()), expected, "{replicas:?}");
        }
    }

    #[test]
    fn a_share_is_told_to_the_tenth() {
        for (share, text) in [(1_000, "100 %"), (955, "95.5 %"), (138, "13.8 %"), (0, "0 %")] {
            assert_eq!(Share(share).to_string(), text);
        }
    }
}
