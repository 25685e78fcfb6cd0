//! How far a request has come on its way out, told between the shell that sends it and the core that waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The request waits for a connection with room.
const IN_QUEUE: u64 = u64::MAX;

/// One request's way to an upstream. What it waits for a connection with room is not the upstream's time.
#[derive(Debug, Default)]
pub struct Dispatch {
    /// Microseconds that it waited, or [`IN_QUEUE`].
    waited: AtomicU64,
    timed_out: AtomicBool,
}

impl Dispatch {
    /// The request waits for a connection with room.
    pub fn queue(&self) {
        self.waited.store(IN_QUEUE, Ordering::Relaxed);
    }

    /// It has one.
    pub fn leave_queue(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(IN_QUEUE).min(IN_QUEUE - 1);
        self.waited.store(micros, Ordering::Relaxed);
    }

    pub fn is_queued(&self) -> bool {
        self.waited.load(Ordering::Relaxed) == IN_QUEUE
    }

    /// How long it waited for a connection with room.
    pub fn waited(&self) -> Duration {
        let micros = self.waited.load(Ordering::Relaxed);
        if micros == IN_QUEUE { Duration::ZERO } else { Duration::from_micros(micros) }
    }

    /// No answer has come in time: the connection may be a dead one.
    pub fn time_out(&self) {
        self.timed_out.store(true, Ordering::Relaxed);
    }

    pub fn has_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }
}
