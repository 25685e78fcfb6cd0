//! Who is under way and who waits: every step of a limiter, on a plain record.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;
use std::time::Duration;

use super::ceiling::Ceiling;
use super::gradient::Setting;
use super::pace::{Pace, retry_after};
use super::queue::{Place, Queue};
use super::{Concurrency, Entrant, Priority, Shed, Verdict, Why};
use crate::time::Instant;

/// The record of one limiter. The default has admitted nobody and has no limit yet.
#[derive(Debug, Default)]
pub(super) struct Permits {
    ceiling: Ceiling,
    /// Slots that are held, and grants that nobody has picked up yet.
    in_flight: u32,
    queue: Queue,
    /// By ticket: whose waiting is over, and who has not asked since. Each has a [`super::Waiting`] that
    /// lives.
    answers: BTreeMap<u64, Result<Grant, Shed>>,
    pace: Pace,
    /// The latest time that anybody told. A slot's return tells none, so it lags behind by no more than the
    /// gap to the last newcomer: little under load, and with no load nobody asks.
    clock: Instant,
    /// To be woken once the lock is free.
    pub(super) called: Vec<Waker>,
}

/// The right to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    since: Instant,
    setting: Setting,
}

/// How `enter` ends.
pub(super) enum Entered {
    Admitted(Grant),
    Queued { place: Place, until: Instant },
    Shed(Shed),
}

impl Permits {
    pub(super) fn limit(&self) -> u32 {
        self.ceiling.limit()
    }

    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn queued(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn enter(&mut self, policy: &Concurrency, who: Entrant, now: Instant) -> Entered {
        self.clock = self.clock.max(now);
        self.ceiling.follow(policy.bound);
        self.promote();
        if self.in_flight < self.limit() {
            return Entered::Admitted(self.grant());
        }
        let until = now.after(policy.wait).min(who.deadline);
        let patience = until.since(now);
        let is_hopeless = self.estimate(who.priority).is_some_and(|wait| wait > patience);
        if patience.is_zero() || is_hopeless {
            return Entered::Shed(self.shed(Why::TooLong, who.priority));
        }
        if self.queued() >= policy.queue {
            let Some((place, waiter)) = self.queue.pop_below(who.priority) else {
                return Entered::Shed(self.shed(Why::QueueFull, who.priority));
            };
            let shed = self.shed(Why::PushedOut, place.priority());
            self.answers.insert(place.ticket, Err(shed));
            self.called.extend(waiter.waker);
        }
        Entered::Queued { place: self.queue.push(who.priority, until), until }
    }

    /// What has become of one who waits; while he goes on waiting, `waker` is kept, and the one before comes
    /// back in it.
    pub(super) fn ask(&mut self, place: Place, waker: &mut Option<Waker>) -> Option<Result<Grant, Shed>> {
        let answer = self.answers.remove(&place.ticket);
        if answer.is_none()
            && let Some(waiter) = self.queue.find(place)
        {
            mem::swap(&mut waiter.waker, waker);
        }
        answer
    }

    /// One who waits leaves. A slot that he had and did not know of goes to the next.
    pub(super) fn give_up(&mut self, place: Place) -> Option<Waker> {
        match self.answers.remove(&place.ticket) {
            Some(Ok(_)) => {
                self.release();
                None
            }
            Some(Err(_)) => None,
            None => self.queue.remove(place).and_then(|waiter| waiter.waker),
        }
    }

    /// One who waits leaves because his time is up.
    pub(super) fn expire(&mut self, place: Place, now: Instant) -> (Shed, Option<Waker>) {
        self.clock = self.clock.max(now);
        let spent = self.give_up(place);
        (self.shed(Why::InVain, place.priority()), spent)
    }

    pub(super) fn sample(&mut self, grant: Grant, took: Duration, verdict: Verdict) {
        self.ceiling.observe(grant.setting, took, verdict);
        self.promote();
    }

    /// A call is over; it lasted at least as long as its first byte `took`.
    pub(super) fn leave(&mut self, grant: Grant, took: Duration) {
        self.pace.learn(self.clock.since(grant.since).max(took));
        self.part();
    }

    /// A call is over that says nothing of how long others last.
    pub(super) fn part(&mut self) {
        self.ceiling.leave();
        self.release();
    }

    fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.promote();
    }

    /// Gives what is free to those whose turn it is; whose time is over has no use for it.
    fn promote(&mut self) {
        while self.in_flight < self.limit() {
            let Some((place, waiter)) = self.queue.pop_next() else { return };
            let answer = if waiter.until < self.clock {
                Err(self.shed(Why::InVain, place.priority()))
            } else {
                Ok(self.grant())
            };
            self.answers.insert(place.ticket, answer);
            self.called.extend(waiter.waker);
        }
    }

    fn grant(&mut self) -> Grant {
        self.in_flight += 1;
        Grant { since: self.clock, setting: self.ceiling.setting(self.in_flight) }
    }

    fn shed(&self, why: Why, priority: Priority) -> Shed {
        Shed { why, retry_after: retry_after(self.estimate(priority)) }
    }

    /// When a newcomer would have his turn: his own comes after those ahead of him, and after those that are
    /// under way beyond a limit that has shrunk.
    fn estimate(&self, priority: Priority) -> Option<Duration> {
        let beyond = u64::from(self.in_flight.saturating_sub(self.limit()));
        let ahead = u64::try_from(self.queue.ahead_of(priority)).unwrap_or(u64::MAX);
        self.pace.wait(ahead.saturating_add(beyond).saturating_add(1), self.limit())
    }
}

#[cfg(test)]
impl Permits {
    /// Nothing is kept for anybody.
    pub(super) fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && self.queue.len() == 0 && self.answers.is_empty() && self.called.is_empty()
    }
}
