//! Time that moves when it is told to.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use weir::time::Instant;

/// A clock and the timers that wait for it. A clone is the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Wheel>);

#[derive(Debug, Default)]
struct Wheel {
    now: Cell<Instant>,
    timers: RefCell<BTreeMap<Key, Waker>>,
    made: Cell<u64>,
}

/// When a timer is due, and which it is: two may be due at once.
type Key = (Instant, u64);

impl Clock {
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.now().since(Instant::default())
    }

    pub fn sleep(&self, span: Duration) -> Sleep {
        let id = self.0.made.get();
        self.0.made.set(id + 1);
        Sleep { wheel: self.0.clone(), key: (self.now().after(span), id) }
    }

    /// Goes to the next timer and wakes whoever waits for it; `false` when nobody waits.
    pub fn advance(&self) -> bool {
        let Some(((at, _), waker)) = self.0.timers.borrow_mut().pop_first() else { return false };
        self.0.now.set(at.max(self.now()));
        waker.wake();
        true
    }

    /// When the next timer is due.
    pub fn due(&self) -> Option<Instant> {
        self.0.timers.borrow().first_key_value().map(|((due, _), _)| *due)
    }

    /// Goes to `then` and wakes all who are due, whose order is the caller's to choose.
    pub fn go(&self, then: Instant) {
        self.0.now.set(then.max(self.now()));
        let mut timers = self.0.timers.borrow_mut();
        let later = timers.split_off(&(self.now(), u64::MAX));
        let due = std::mem::replace(&mut *timers, later);
        drop(timers);
        due.into_values().for_each(Waker::wake);
    }

    /// Time goes by in which nobody is polled.
    pub fn pass(&self, span: Duration) {
        self.0.now.set(self.now().after(span));
    }
}

/// Completes when its time has come.
#[derive(Debug)]
pub struct Sleep {
    wheel: Rc<Wheel>,
    key: Key,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.wheel.timers.borrow_mut();
        if self.wheel.now.get() >= self.key.0 {
            timers.remove(&self.key);
            return Poll::Ready(());
        }
        timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.wheel.timers.borrow_mut().remove(&self.key);
    }
}
