//! A place in the queue, as a future.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::queue::Place;
use super::{Limiter, Shed, Slot};
use crate::time::Instant;

/// Ready with a slot when it is his turn, or with the reason why it will not come.
///
/// It keeps no time. Whoever waits races it against a sleep until [`Waiting::until`] and then drops it or
/// asks [`Waiting::expired`]; either gives up the place, or passes on the slot that came at the last moment.
/// Once it was ready it stays pending for ever.
#[derive(Debug)]
#[must_use = "a place is given up when it is dropped"]
pub struct Waiting {
    limiter: Limiter,
    place: Place,
    until: Instant,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    InLine,
    Over,
}

impl Waiting {
    pub(super) const fn new(limiter: Limiter, place: Place, until: Instant) -> Self {
        Self { limiter, place, until, progress: Progress::InLine }
    }

    /// When there is no more use in waiting: the longest wait is over or the deadline is there.
    pub const fn until(&self) -> Instant {
        self.until
    }

    /// The time is up: gives up the place, and says when to come back.
    pub fn expired(mut self, now: Instant) -> Shed {
        self.progress = Progress::Over;
        let (shed, _spent) = self.limiter.step(|permits| permits.expire(self.place, now));
        shed
    }
}

impl Future for Waiting {
    type Output = Result<Slot, Shed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.progress == Progress::Over {
            return Poll::Pending;
        }
        // The waker that this one replaces comes back in it and is dropped outside the lock: a task may go
        // with its last waker, and a slot with its task.
        let mut waker = Some(context.waker().clone());
        let Some(answer) = this.limiter.step(|permits| permits.ask(this.place, &mut waker)) else {
            return Poll::Pending;
        };
        this.progress = Progress::Over;
        Poll::Ready(answer.map(|grant| Slot::new(this.limiter.clone(), grant)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.progress == Progress::InLine {
            // As above: the waker is dropped here.
            let _spent = self.limiter.step(|permits| permits.give_up(self.place));
        }
    }
}
