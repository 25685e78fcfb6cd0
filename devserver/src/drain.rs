//! The end of the process: nothing new is accepted, what was accepted is finished, the books are closed.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Failed;

/// Resolves on SIGTERM or SIGINT.
pub(crate) async fn asked_to_stop() -> Result<(), Failed> {
    let failed = |e| Failed::because("no signal handler", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Runs `work` to its end unless `grace` runs out or the operator asks a second time.
pub(crate) async fn within_grace(grace: Duration, work: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = work => true,
        () = tokio::time::sleep(grace) => false,
        _ = asked_to_stop() => false,
    }
}
