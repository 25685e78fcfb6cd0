//! Threads that compute what takes long, so that serving goes on beside them, and first.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use rayon_core::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// Niceness of these threads: they take the time that serving leaves, and a small share where it leaves none.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// As many threads as there are cores.
#[derive(Debug)]
pub(crate) struct Computing(ThreadPool);

impl Computing {
    pub(crate) fn new() -> Result<Self, ThreadPoolBuildError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|number| format!("computing-{number}"))
            .start_handler(|_| stand_back())
            .build()
            .map(Self)
    }

    /// Runs `work`; returns what it gives, or its panic.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (give, take) = oneshot::channel();
        self.0.spawn(move || {
            // A caller that has left wants no answer.
            if !give.is_closed() {
                let _ = give.send(catch_unwind(AssertUnwindSafe(work)));
            }
        });
        match take.await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => resume_unwind(panic),
            // Only a caller that has left is not answered.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Lowers the priority of this thread. Linux alone gives each thread its own.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "threads that compute have the priority of those that serve");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_a_thread_that_stands_back() {
        let computing = Computing::new().unwrap();
        let name = computing.run(|| thread::current().name().map(str::to_owned)).await;
        assert!(name.unwrap().starts_with("computing-"));
        #[cfg(target_os = "linux")]
        {
            let there = computing.run(|| rustix::process::getpriority_process(None).unwrap()).await;
            assert_eq!(there, NICENESS);
            assert_ne!(rustix::process::getpriority_process(None).unwrap(), NICENESS, "serving goes first");
        }
    }

    #[tokio::test]
    async fn a_panic_is_its_callers_and_the_thread_goes_on() {
        let computing = Computing::new().unwrap();
        for _ in 0..4 {
            let failing = AssertUnwindSafe(computing.run::<()>(|| panic!("too deep"))).catch_unwind().await;
            assert!(failing.is_err());
        }
        assert_eq!(computing.run(|| 1).await, 1);
    }
}
