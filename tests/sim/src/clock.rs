//! Time that moves when nothing else can happen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use weir::time::Instant;

/// A clock and the timers that wait for it. A clone is the same clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Rc<Wheel>);

#[derive(Debug, Default)]
struct Wheel {
    now: Cell<Instant>,
    timers: RefCell<BTreeMap<Key, Waker>>,
    made: Cell<u64>,
}

/// When a timer is due, and which it is: two may be due at once.
type Key = (Instant, u64);

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        self.0.now.get()
    }

    pub(crate) fn sleep(&self, span: Duration) -> Sleep {
        let id = self.0.made.get();
        self.0.made.set(id + 1);
        Sleep { wheel: self.0.clone(), key: (self.now().after(span), id) }
    }

    /// When the next timer is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.timers.borrow().first_key_value().map(|((due, _), _)| *due)
    }

    /// Goes to `then` and wakes all who are due, whose order is the scheduler's to choose.
    pub(crate) fn go(&self, then: Instant) {
        self.0.now.set(then.max(self.now()));
        let mut timers = self.0.timers.borrow_mut();
        let later = timers.split_off(&(self.now(), u64::MAX));
        let due = std::mem::replace(&mut *timers, later);
        drop(timers);
        due.into_values().for_each(Waker::wake);
    }
}

/// Completes when its time has come.
#[derive(Debug)]
pub(crate) struct Sleep {
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
