//! Overload: how many calls go at the same time, who waits, and who is turned away.
//!
//! A [`Limiter`] stands before one upstream, or before the whole process. It has so many slots, given or
//! found by itself ([`Bound`]), and a queue before them. Work that cannot be done in time is refused at once
//! and cheaply, so that the work that is taken on is finished: throughput stays where it was when load goes
//! beyond it, instead of falling as everybody times out.
//!
//! - The queue has a bound. Higher priority goes first, and within a priority whoever came first. Into a full
//!   queue a higher priority comes by pushing out the youngest of the lowest.
//! - Nobody waits in vain if it can be known: the average time that slots are held says when the turn of a
//!   newcomer will come, and if that is after his deadline he is turned away before he waits. The estimate
//!   counts those who are ahead, not those who will push past later.
//! - Low priority starves for as long as higher ones fill the slots; that is what a priority is for. It is
//!   bound by [`Concurrency::wait`]: whoever starves is told so after that time, and when to come back.
//! - A bound or a queue that changes is taken at the next [`Limiter::enter`]. A smaller one cuts nobody off.
//!
//! It keeps no time and spawns nothing: `now` is an argument, and a [`Waiting`] is raced by its owner against
//! the sleep of his platform. A clone of a limiter is another handle, for many threads or for one. State is
//! behind a lock that is held for a few steps in memory, never across an await, and nobody is woken while it
//! is held.

mod ceiling;
mod gradient;
mod pace;
mod permits;
mod queue;
mod slot;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::permits::{Entered, Permits};
pub use self::slot::{Slot, Verdict};
pub use self::waiting::Waiting;
use crate::time::Instant;

/// How many calls go at the same time, and how many wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    pub bound: Bound,
    /// Calls that wait at most.
    pub queue: u32,
    /// How long one waits at most.
    pub wait: Duration,
}

/// The number of calls at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Fixed(u32),
    /// Found by the gradient of the time to the first byte, between these.
    Adaptive {
        least: u32,
        most: u32,
    },
}

/// Whose calls go first when some have to wait, and are turned away last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// All limiters of a process by name: the process's own and each upstream's. A clone is another handle.
///
/// Names come from the configuration, so there are as few as that.
#[derive(Clone, Debug, Default)]
pub struct Limiters(Arc<Mutex<BTreeMap<String, Limiter>>>);

/// What bounds the calls under way to one place. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct Limiter(Arc<Mutex<Permits>>);

/// Who wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrant {
    pub priority: Priority,
    /// To begin later than this is of no use. Whoever must be *done* by a time takes off what the call lasts.
    pub deadline: Instant,
}

/// How [`Limiter::enter`] ends.
#[derive(Debug)]
pub enum Entry {
    Admitted(Slot),
    Queued(Waiting),
    Shed(Shed),
}

/// Turned away. Trying again later may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    pub why: Why,
    /// When one who came again would have his turn, as far as is known: 100 ms to 30 s, and 1 s if nothing is
    /// known yet. The same for all who are shed together; to spread them is the caller's affair.
    pub retry_after: Duration,
}

/// Why one is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// As many wait as may, and none of them has a lower priority.
    QueueFull,
    /// His turn would come after his deadline, or after the longest wait.
    TooLong,
    /// He waited that long, and his turn did not come.
    InVain,
    /// A higher priority took his place in a full queue.
    PushedOut,
}

impl Why {
    /// As logs and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLong => "too_long",
            Self::InVain => "in_vain",
            Self::PushedOut => "pushed_out",
        }
    }
}

/// A limiter at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub name: String,
    /// Calls that may be under way; 0 before the first has come.
    pub limit: u32,
    /// Calls that are under way; above the limit only after that has shrunk.
    pub in_flight: u32,
    pub queued: u32,
}

impl Limiters {
    /// The limiter of this name, which is made if there is none.
    pub fn limiter(&self, name: &str) -> Limiter {
        let mut limiters = lock(&self.0);
        if let Some(limiter) = limiters.get(name) {
            return limiter.clone();
        }
        limiters.entry(name.to_owned()).or_default().clone()
    }

    /// Every limiter at this moment, by name; each by itself, not all at the same instant.
    pub fn snapshot(&self) -> Vec<Load> {
        let limiters = lock(&self.0).clone();
        limiters.into_iter().map(|(name, limiter)| limiter.load(name)).collect()
    }
}

impl Limiter {
    /// Takes a slot at once, or a place in the queue, or neither. From here on `policy` holds.
    pub fn enter(&self, policy: &Concurrency, who: Entrant, now: Instant) -> Entry {
        match self.step(|permits| permits.enter(policy, who, now)) {
            Entered::Admitted(grant) => Entry::Admitted(Slot::new(self.clone(), grant)),
            Entered::Queued { place, until } => Entry::Queued(Waiting::new(self.clone(), place, until)),
            Entered::Shed(shed) => Entry::Shed(shed),
        }
    }

    fn load(&self, name: String) -> Load {
        let permits = lock(&self.0);
        Load { name, limit: permits.limit(), in_flight: permits.in_flight(), queued: permits.queued() }
    }

    /// One step under the lock. Whom it calls is woken behind it: a waker may run anything, even the next
    /// step.
    fn step<T>(&self, step: impl FnOnce(&mut Permits) -> T) -> T {
        let (outcome, called) = {
            let mut permits = lock(&self.0);
            let outcome = step(&mut permits);
            (outcome, mem::take(&mut permits.called))
        };
        for waker in called {
            waker.wake();
        }
        outcome
    }
}

/// No step leaves a record half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
