//! Ends of calls that the store could not be told in time: they are told once it is there again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use weir::store::redis::{Backlog, Codec, Command, Untold};
use weir::telemetry::metrics::Family;

use super::link::Link;
use crate::metrics::Metrics;

/// Between two looks at whether the store is there.
const LOOK: Duration = Duration::from_millis(20);

/// Between two attempts at a store that is there and does not answer: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Bytes of a command that waits at most; a call whose answer is longer is ended without it.
pub(super) const MOST_WAITING: usize = 256 * 1024;

/// What one worker has still to tell. A clone is another handle.
#[derive(Clone)]
pub(super) struct Late(Arc<Inner>);

struct Inner {
    backlog: Mutex<Backlog>,
    came: Notify,
    metrics: Metrics,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").field("waiting", &self.backlog().len()).finish_non_exhaustive()
    }
}

impl Late {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { backlog: Mutex::default(), came: Notify::new(), metrics }))
    }

    /// Has the command told as soon as it can be. Where there is no room for it, what it says is lost, and counted.
    pub(super) fn push(&self, command: Command) {
        let outcome = self.backlog().push(command);
        self.note(outcome);
    }

    /// Tells what comes, for as long as this runtime runs.
    pub(super) async fn tell(self, link: Link, codec: Codec) {
        loop {
            self.0.came.notified().await;
            let mut pause = PAUSE.0;
            while !self.backlog().is_empty() {
                if !link.is_connected() {
                    sleep(LOOK).await;
                    continue;
                }
                let Some(waiting) = self.backlog().pop() else { break };
                self.0.metrics.store_waits(-1);
                let read = |value| codec.closed(&waiting.command, value);
                if let Ok(not_kept) = link.run(&waiting.command, read).await {
                    for why in not_kept {
                        self.0.metrics.count(Family::AnswersNotKept, &[why.name()], 1);
                    }
                    pause = PAUSE.0;
                    continue;
                }
                let outcome = self.backlog().put_back(waiting);
                self.note(outcome);
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }

    fn note(&self, outcome: Result<(), Untold>) {
        match outcome {
            Ok(()) => {
                self.0.metrics.store_waits(1);
                self.0.came.notify_one();
            }
            Err(why) => {
                tracing::error!("the store is not told the end of a call: {why}");
                self.0.metrics.store_unsettled();
            }
        }
    }

    /// No step leaves it half changed.
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
