//! The end of the process: nothing new is accepted, what was accepted is finished, the books are closed.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Failed;

/// SIGTERM and SIGINT, from the moment this is made.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) fn listen() -> Result<Self, Failed> {
        let failed = |e| Failed::because("no signal handler", e);
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { terminate, interrupt })
    }

    /// Resolves when the operator asks, once for each time.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs `work` to its end unless `grace` runs out or the operator asks a second time.
pub(crate) async fn within_grace(grace: Duration, stop: &mut Stop, work: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = work => true,
        () = tokio::time::sleep(grace) => false,
        () = stop.asked() => false,
    }
}
