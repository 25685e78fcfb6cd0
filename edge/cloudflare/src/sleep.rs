//! The waits of one request, by the clock.
//!
//! Most are over before their time: the answer comes, or the next chunk does. So a request has one timer of
//! the platform's for all of them. It rings when the first of them is due, and one that is dropped leaves it as
//! it is: what rings for nobody is set anew for whoever is next, which happens less often than a wait ends.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ear::{Ear, Listener, Number, Word};
use crate::js;
use crate::platform::millis;

/// The longest timer that JavaScript has: some 24 days.
const LONGEST: u64 = i32::MAX as u64;

/// Dropped, it takes its timer back.
#[derive(Default)]
pub(crate) struct Clock {
    face: Rc<Face>,
    /// Made with the first timer.
    ear: OnceCell<Ear>,
}

/// Dropped, it rings for nobody.
pub(crate) struct Sleep {
    clock: Rc<Clock>,
    span: Duration,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Nothing is set before the first poll: many a wait is over before it begins.
    Unset,
    Set(Due),
    Over,
}

/// When, in milliseconds since 1970, and in which turn of those that are due together.
type Due = (u64, u64);

#[derive(Default)]
struct Face {
    sleepers: RefCell<BTreeMap<Due, Waker>>,
    last: Cell<u64>,
    timer: Cell<Option<Timer>>,
}

#[derive(Clone, Copy)]
struct Timer {
    number: Number,
    due: u64,
    handle: i32,
}

/// The platform sets no timer.
struct Timeless;

impl Clock {
    pub(crate) fn sleep(self: &Rc<Self>, span: Duration) -> Sleep {
        Sleep { clock: Rc::clone(self), span, stage: Stage::Unset }
    }

    fn set(&self, span: Duration, waker: &Waker) -> Result<Due, Timeless> {
        let now = millis();
        // Rounded up: a wait is never shorter than it was asked to be.
        let span = u64::try_from(span.as_micros().div_ceil(1000)).unwrap_or(LONGEST).min(LONGEST);
        let order = self.face.last.get().wrapping_add(1);
        self.face.last.set(order);
        let due = (now.saturating_add(span), order);
        let number = self.ear.get_or_init(|| Ear::new(Rc::<Face>::clone(&self.face))).number();
        self.face.ring_by(number, due.0, now)?;
        self.face.sleepers.borrow_mut().insert(due, waker.clone());
        Ok(due)
    }
}

impl Face {
    /// Sees to it that it rings by `due`.
    fn ring_by(&self, number: Number, due: u64, now: u64) -> Result<(), Timeless> {
        if self.timer.get().is_some_and(|timer| timer.due <= due) {
            return Ok(());
        }
        self.stop();
        let left = i32::try_from(due.saturating_sub(now)).unwrap_or(i32::MAX);
        let handle = number.lend(|who, teller| teller.ring(left, who)).map_err(|_| Timeless)?;
        self.timer.set(Some(Timer { number, due, handle }));
        Ok(())
    }

    fn stop(&self) {
        if let Some(timer) = self.timer.take() {
            js::scope().clear_timeout_with_handle(timer.handle);
        }
    }

    fn next(&self, until: u64) -> Option<Waker> {
        let mut sleepers = self.sleepers.borrow_mut();
        let first = sleepers.first_entry().filter(|first| first.key().0 <= until)?;
        Some(first.remove())
    }

    fn wake(&self, until: u64) {
        while let Some(waker) = self.next(until) {
            waker.wake();
        }
    }
}

impl Listener for Face {
    fn hear(&self, _: Word) {
        let Some(timer) = self.timer.take() else { return };
        // Dates may jump back; what has rung was due.
        let now = millis().max(timer.due);
        self.wake(now);
        let next = self.sleepers.borrow().keys().next().copied();
        if let Some((due, _)) = next
            && let Err(Timeless) = self.ring_by(timer.number, due, now)
        {
            // A wait that never ends would be worse than none.
            self.wake(u64::MAX);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.stage = match self.stage {
            Stage::Unset => self.clock.set(self.span, cx.waker()).map_or(Stage::Over, Stage::Set),
            Stage::Set(due) => match self.clock.face.sleepers.borrow_mut().get_mut(&due) {
                // Whoever polled last: a wait moves from the answer's head to its body.
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    Stage::Set(due)
                }
                None => Stage::Over,
            },
            Stage::Over => Stage::Over,
        };
        match self.stage {
            Stage::Unset | Stage::Set(_) => Poll::Pending,
            Stage::Over => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Stage::Set(due) = self.stage {
            drop(self.clock.face.sleepers.borrow_mut().remove(&due));
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.face.stop();
    }
}
