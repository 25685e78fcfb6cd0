//! Polls again what was woken while it was polled.
//!
//! The SDK's executor goes to sleep whenever the request's task is pending, and heeds only what the runtime tells it:
//! a wake from inside the task, of the settlement by the answer that has ended, is lost on it. Were nothing else
//! waited for, it would panic.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A task that is pending only when all of it waits for the runtime.
pub(crate) struct Restless<F> {
    task: Pin<Box<F>>,
    bell: Arc<Bell>,
}

/// Whether somebody was woken. It is asked before the executor sleeps, and the runtime's own wakes come after that.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<F> Restless<F> {
    pub(crate) fn new(task: F) -> Self {
        Self { task: Box::pin(task), bell: Arc::default() }
    }
}

impl<F: Future> Future for Restless<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.bell));
        loop {
            self.bell.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = self.task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            if !self.bell.0.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use futures_util::future::join;

    use super::*;

    #[test]
    fn one_half_of_a_task_wakes_the_other() {
        // The half that is polled first waits for the second.
        let turn = std::cell::Cell::new(None::<Waker>);
        let is_said = std::cell::Cell::new(false);
        let hears = poll_fn(|cx| {
            if is_said.get() {
                return Poll::Ready("heard");
            }
            turn.set(Some(cx.waker().clone()));
            Poll::Pending
        });
        let says = async {
            is_said.set(true);
            if let Some(waker) = turn.take() {
                waker.wake();
            }
        };
        assert_eq!(Restless::new(join(hears, says)).now_or_never(), Some(("heard", ())));
    }

    #[test]
    fn a_task_that_waits_for_the_runtime_is_pending() {
        let mut polls = 0;
        let waits = poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        assert_eq!(Restless::new(waits).now_or_never(), None);
        assert_eq!(polls, 1);
    }
}
