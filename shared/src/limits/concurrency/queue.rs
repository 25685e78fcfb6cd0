//! Those who wait for a slot, in the order of their turns.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::task::Waker;

use super::Priority;
use crate::time::Instant;

/// A place in the queue: sorted, the next turn comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    line: Reverse<Priority>,
    /// No two have the same, whatever their lines.
    pub(super) ticket: u64,
}

impl Place {
    pub(super) const fn priority(self) -> Priority {
        self.line.0
    }
}

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) until: Instant,
    /// There is none before the first poll.
    pub(super) waker: Option<Waker>,
}

/// A line for each priority, the highest first, each in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: BTreeMap<Reverse<Priority>, BTreeMap<u64, Waiter>>,
    tickets: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// How many have their turn before a newcomer of this priority.
    pub(super) fn ahead_of(&self, priority: Priority) -> usize {
        self.lines.range(..=Reverse(priority)).map(|(_, line)| line.len()).sum()
    }

    pub(super) fn push(&mut self, priority: Priority, until: Instant) -> Place {
        let place = Place { line: Reverse(priority), ticket: self.tickets };
        self.tickets += 1;
        self.lines.entry(place.line).or_default().insert(place.ticket, Waiter { until, waker: None });
        place
    }

    /// The oldest of the highest priority.
    pub(super) fn pop_next(&mut self) -> Option<(Place, Waiter)> {
        self.lines.iter_mut().find_map(|(line, waiters)| {
            let (ticket, waiter) = waiters.pop_first()?;
            Some((Place { line: *line, ticket }, waiter))
        })
    }

    /// The youngest of the lowest priority, if that is below this one.
    pub(super) fn pop_below(&mut self, priority: Priority) -> Option<(Place, Waiter)> {
        let (line, waiters) = self.lines.iter_mut().rev().find(|(_, waiters)| !waiters.is_empty())?;
        if line.0 >= priority {
            return None;
        }
        let (ticket, waiter) = waiters.pop_last()?;
        Some((Place { line: *line, ticket }, waiter))
    }

    pub(super) fn find(&mut self, place: Place) -> Option<&mut Waiter> {
        self.lines.get_mut(&place.line)?.get_mut(&place.ticket)
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Waiter> {
        self.lines.get_mut(&place.line)?.remove(&place.ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(priorities: &[Priority]) -> Queue {
        let mut queue = Queue::default();
        for priority in priorities {
            queue.push(*priority, Instant::default());
        }
        queue
    }

    #[test]
    fn turns_go_by_priority_and_then_by_age() {
        use Priority::{High, Low, Normal};
        let mut queue = queue(&[Low, Normal, High, Normal, High, Low]);
        let turns = std::iter::from_fn(|| queue.pop_next()).map(|(place, _)| place.ticket);
        assert_eq!(turns.collect::<Vec<_>>(), [2, 4, 1, 3, 0, 5]);
    }

    #[test]
    fn the_youngest_of_the_lowest_is_the_first_to_be_pushed_out() {
        use Priority::{High, Low, Normal};
        let mut queue = queue(&[Low, Normal, High, Normal, Low]);
        for (by, whom) in [
            (Low, None),
            (Normal, Some(4)),
            (Normal, Some(0)),
            (Normal, None),
            (High, Some(3)),
            (High, Some(1)),
            (High, None),
        ] {
            assert_eq!(queue.pop_below(by).map(|(place, _)| place.ticket), whom, "{by:?}");
        }
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn the_same_priority_and_higher_ones_are_ahead() {
        use Priority::{High, Low, Normal};
        let queue = queue(&[Low, Normal, High, Normal, Low, Low]);
        for (priority, ahead) in [(High, 1), (Normal, 3), (Low, 6)] {
            assert_eq!(queue.ahead_of(priority), ahead, "{priority:?}");
        }
    }
}
