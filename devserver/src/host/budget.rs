//! How much an instance may compute.
//!
//! Waiting costs nothing, so a stream may go on for hours. What counts is the time for which the instance holds its
//! thread: wasmtime hands it back every tick, and here the turns are added up.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Runs `work` for no longer than it may compute.
pub(super) struct Budgeted<F> {
    work: Pin<Box<F>>,
    spent: Duration,
    most: Duration,
}

/// It has computed for so long, and was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent(pub(super) Duration);

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has computed for {} ms and was stopped", self.0.as_millis())
    }
}

impl<F> Budgeted<F> {
    pub(super) fn new(work: F, most: Duration) -> Self {
        Self { work: Box::pin(work), spent: Duration::ZERO, most }
    }
}

impl<F: Future> Future for Budgeted<F> {
    type Output = Result<F::Output, Spent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let began = Instant::now();
        let polled = self.work.as_mut().poll(cx);
        self.spent += began.elapsed();
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.spent > self.most => Poll::Ready(Err(Spent(self.spent))),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::mem::replace;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    const TURN: Duration = Duration::from_millis(2);

    fn compute(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    async fn turns(count: u32) {
        for _ in 0..count {
            compute(TURN);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn turns_are_added_up() {
        let spent = Budgeted::new(turns(1000), TURN * 5).await.unwrap_err();
        assert!(spent.0 > TURN * 5, "{spent:?}");
    }

    #[test]
    fn waiting_costs_nothing() {
        let mut is_over = false;
        let waiting = poll_fn(|_| if replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending });
        let mut budgeted = pin!(Budgeted::new(waiting, TURN));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(budgeted.as_mut().poll(&mut cx), Poll::Pending);
        compute(TURN * 2);
        assert_eq!(budgeted.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    }
}
