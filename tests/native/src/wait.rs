//! Waiting for what must come to pass.

use std::time::{Duration, Instant};

/// Beyond it, what was waited for is taken not to happen. Long, for machines that do other things as well.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(4);

/// Looks again and again until `probe` finds something.
pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, probe).await
}

/// As [`until`], with its own deadline.
pub async fn until_within<T>(patience: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether `condition` holds, for [`until`].
pub fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}

/// `work`, which must end in time.
pub async fn within<T>(patience: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(patience, work).await;
    done.unwrap_or_else(|_| panic!("not within {patience:?}: {what}"))
}
