//! How far a request has come on its way out, told between the shell that sends it and the core that waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::ledger::connect_fault::ConnectFault;

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

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// Nothing listens there, the name does not resolve, TLS fails.
    Connect(ConnectFault),
    ConnectTimeout,
    /// The connection broke before the head of the answer.
    Broken,
    /// The same, without a byte of an answer, and the connection had carried calls before: it is likely to have been
    /// closed while it was idle. Where the platform does not tell, it is [`Self::Broken`].
    Stale,
    /// The upstream has not looked at the request, and says so: a stream refused (RFC 9113, 8.7), or above the last
    /// one of a GOAWAY.
    Unprocessed,
    /// All connections that there may be to the upstream carry all they can, and none had room in time.
    Busy,
}

impl SendFault {
    pub const fn cause(self) -> ConnectFault {
        match self {
            Self::Connect(cause) => cause,
            Self::ConnectTimeout => ConnectFault::TimedOut,
            Self::Broken => ConnectFault::Broken,
            Self::Stale => ConnectFault::Stale,
            Self::Unprocessed => ConnectFault::Unprocessed,
            Self::Busy => ConnectFault::ConnectionsBusy,
        }
    }
}

/// An extension of a request that goes upstream: it wants a connection that nothing was sent on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh;
