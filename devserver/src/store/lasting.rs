//! Work that is done to its end, whoever leaves meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll};

/// What goes on by itself.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future whose work, dropped after it was begun, is handed to somebody who goes on with it. For as long as it is
/// waited for it costs no task, and nothing of what its heir would need.
pub(super) struct Lasting<T: 'static, F: FnOnce(Work<T>)> {
    /// Both until it is done.
    work: Option<(Work<T>, F)>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun,
}

impl<T: 'static, F: FnOnce(Work<T>)> Lasting<T, F> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static, heir: F) -> Self {
        Self { work: Some((Box::pin(work), heir)), stage: Stage::Waiting }
    }
}

impl<T: 'static, F: FnOnce(Work<T>)> Unpin for Lasting<T, F> {}

impl<T: 'static, F: FnOnce(Work<T>)> Future for Lasting<T, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.stage = Stage::Begun;
        // It is not polled behind its end.
        let Some((work, _)) = &mut self.work else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<T: 'static, F: FnOnce(Work<T>)> Drop for Lasting<T, F> {
    fn drop(&mut self) {
        let Some((work, heir)) = self.work.take() else { return };
        if self.stage == Stage::Begun {
            heir(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    /// What the heir of work gets with which `leave` was done.
    async fn inherited(leave: impl FnOnce(&mut Lasting<u32, &dyn Fn(Work<u32>)>)) -> Option<u32> {
        let (done, wait) = oneshot::channel();
        let left = RefCell::new(None);
        let heir = |work| *left.borrow_mut() = Some(work);
        let mut lasting = Lasting::new(async { wait.await.unwrap() }, &heir as &dyn Fn(_));
        leave(&mut lasting);
        drop(lasting);
        // It is done after it has been left.
        let _ = done.send(7);
        match left.into_inner() {
            Some(work) => Some(work.await),
            None => None,
        }
    }

    #[tokio::test]
    async fn what_was_begun_goes_on_and_what_was_not_is_never_begun() {
        assert_eq!(inherited(|_| ()).await, None);
        assert_eq!(inherited(|lasting| assert!(lasting.now_or_never().is_none())).await, Some(7));
    }

    #[tokio::test]
    async fn what_is_waited_for_is_given_and_has_no_heir() {
        assert_eq!(Lasting::new(async { 7 }, |_| panic!("it is done")).await, 7);
    }
}
