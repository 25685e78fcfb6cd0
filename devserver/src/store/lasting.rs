//! Work that is done to its end, whoever leaves meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that, dropped after it was begun, goes on as a task of its own; its result is then dropped. For as
/// long as somebody waits it costs no task.
pub(super) struct Lasting<T: 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun,
}

impl<T: 'static> Lasting<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), stage: Stage::Waiting }
    }
}

impl<T: 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.stage = Stage::Begun;
        // It is not polled behind its end.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<T: 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        // At the end of the process there is nobody to go on.
        if let (Stage::Begun, Ok(runtime)) = (self.stage, Handle::try_current()) {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    async fn done_after(drop_it: impl FnOnce(Lasting<()>)) -> u32 {
        let (done, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (count, went) = (Arc::clone(&done), Arc::clone(&go));
        drop_it(Lasting::new(async move {
            went.notified().await;
            count.fetch_add(1, Ordering::Relaxed);
        }));
        go.notify_one();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        done.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn what_was_begun_goes_on_and_what_was_not_is_never_begun() {
        assert_eq!(done_after(drop).await, 0);
        let begun = |mut lasting: Lasting<()>| assert!((&mut lasting).now_or_never().is_none());
        assert_eq!(done_after(begun).await, 1);
    }

    #[tokio::test]
    async fn what_is_waited_for_is_given() {
        assert_eq!(Lasting::new(async { 7 }).await, 7);
    }
}
