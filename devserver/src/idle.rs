//! When an HTTP/2 connection has nothing to do. Of HTTP/1.1 hyper knows it by itself: the next head is late.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The requests that a connection is at.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: AtomicUsize,
    /// There was one.
    began: AtomicBool,
    /// One came or went.
    changed: Notify,
}

/// One request, until its answer has been handed over or dropped.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Streams>);

impl Streams {
    pub(crate) fn begin(self: &Arc<Self>) -> Stream {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.began.store(true, Ordering::Relaxed);
        self.changed.notify_one();
        Stream(Arc::clone(self))
    }

    /// Returns once there has been none for `span`; never before the first.
    pub(crate) async fn idle(&self, span: Duration) {
        loop {
            let changed = self.changed.notified();
            let is_idle = self.began.load(Ordering::Relaxed) && self.open.load(Ordering::Relaxed) == 0;
            let silence = async {
                if is_idle {
                    tokio::time::sleep(span).await;
                } else {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = silence => return,
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_a_while_after_the_last_answer_and_not_before_the_first() {
        let streams = Arc::new(Streams::default());
        let watch = tokio::spawn({
            let streams = Arc::clone(&streams);
            async move {
                streams.idle(Duration::from_secs(10)).await;
                Instant::now()
            }
        });
        let began = Instant::now();
        tokio::time::sleep(Duration::from_mins(1)).await;
        let first = streams.begin();
        tokio::time::sleep(Duration::from_mins(1)).await;
        let second = streams.begin();
        drop(first);
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(second);
        assert_eq!(watch.await.unwrap().duration_since(began), Duration::from_secs(190));
    }
}
