//! How long a client's connection may do nothing.
//!
//! The first request's head has so long to come, each later one from its first byte; and between two requests a
//! connection is kept for `keep_alive`, which is longer, so that whoever keeps connections in front (a balancer, a pool)
//! lets go first. Of a connection that is told to go, HTTP/2 is told so (GOAWAY).
//!
//! What happens is noted in atomics as it happens, and looked at from time to time: no request sets a timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often a bound is looked at in its time.
const LOOKS: u32 = 4;

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
}

/// What a connection is at.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Requests that are under way.
    requests: AtomicUsize,
    /// Milliseconds from the origin, and one more, to when the head in hand began; 0 is none. The first head is in hand
    /// from the beginning.
    head: AtomicU64,
    /// Milliseconds from the origin to the end of the last request.
    idle: AtomicU64,
}

/// One request, until its answer has been handed over or dropped.
#[derive(Debug)]
pub(crate) struct Request(Arc<Activity>);

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// A head did not come in time.
    Head,
    /// It was kept for long enough.
    Idle,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            requests: AtomicUsize::new(0),
            head: AtomicU64::new(1),
            idle: AtomicU64::new(0),
        }
    }

    /// A head's first byte is here.
    pub(crate) fn head_begins(&self) {
        // The first one has begun with the connection.
        let begun = self.now().saturating_add(1);
        let _ = self.head.compare_exchange(0, begun, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Request {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        Request(Arc::clone(self))
    }

    /// Returns when one of the bounds is over.
    pub(crate) async fn over(&self, bounds: Bounds) -> Over {
        let step = bounds.header.min(bounds.keep_alive) / LOOKS;
        loop {
            let now = self.now();
            let (since, span, over) =
                match (self.requests.load(Ordering::Relaxed), self.head.load(Ordering::Relaxed)) {
                    (0, 0) => (self.idle.load(Ordering::Relaxed), bounds.keep_alive, Over::Idle),
                    (0, begun) => (begun - 1, bounds.header, Over::Head),
                    (_, _) => (now, Duration::MAX, Over::Idle),
                };
            let left = span.saturating_sub(Duration::from_millis(now.saturating_sub(since)));
            if left.is_zero() {
                return over;
            }
            tokio::time::sleep(left.min(step).max(Duration::from_millis(1))).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.idle.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { header: Duration::from_secs(10), keep_alive: Duration::from_secs(75) };

    fn watched() -> (Arc<Activity>, tokio::task::JoinHandle<(Over, u64)>) {
        let activity = Arc::new(Activity::new());
        let watch = Arc::clone(&activity);
        let watch = tokio::spawn(async move { (watch.over(BOUNDS).await, watch.now() / 1000) });
        (activity, watch)
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_its_time_from_the_beginning() {
        let (activity, watch) = watched();
        pass(9).await;
        // It drips.
        activity.head_begins();
        assert_eq!(watch.await.unwrap(), (Over::Head, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_has_its_time_from_its_first_byte() {
        let (activity, watch) = watched();
        drop(activity.begin());
        pass(60).await;
        activity.head_begins();
        pass(5).await;
        activity.head_begins();
        let (over, at) = watch.await.unwrap();
        assert!(over == Over::Head && (70..=73).contains(&at), "{over:?} at {at}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_for_a_while_behind_the_last_answer() {
        let (activity, watch) = watched();
        let first = activity.begin();
        pass(600).await;
        let second = activity.begin();
        drop(first);
        pass(600).await;
        drop(second);
        let (over, at) = watch.await.unwrap();
        assert!(over == Over::Idle && (1275..=1278).contains(&at), "{over:?} at {at}");
    }
}
