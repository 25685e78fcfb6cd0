//! Admission at the head of a request, before its body is read: by calls under way and by buffered bytes.
//!
//! The store counts a call once its body is known, in one operation. Until then the call would cost its caller nothing,
//! and a body is the larger part of what it costs the process. So the process decides by what it knows itself:
//!
//! - **Calls.** A caller has no more calls under way here than its `concurrent` allows, from the head to the end of the
//!   answer; and in no rate of its `requests` more calls that are not charged yet than the rate allows. The store never
//!   lets more through than that, so nobody is refused here whom the store would serve.
//! - **Denials.** Whoever was told to wait for a request is not read before that time is over.
//! - **Bytes.** What is held of bodies, as they come and decoded, is bounded by `max_buffered`. A quarter of it is
//!   for first bytes: of 64 tenants, the same for each. Of the rest a tenant has what it leaves free: alone half, two a
//!   third each, and so on (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
//!   So little stands idle, and whoever fills the rest, a newcomer finds room for an ordinary call.
//!
//! A clone is another handle. State is behind a lock that is held for a few steps in memory, never across an await.

mod buffered;
mod calls;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::buffered::{Buffered, Full};
pub use self::calls::{Arrival, Place};
use self::{buffered::Bytes, calls::Calls};

/// What a process, or an isolate, knows of the requests it has let in.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    calls: Mutex<Calls>,
    bytes: Mutex<Bytes>,
    /// Bytes that may be buffered whatever the configuration says.
    ceiling: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self::with_ceiling(u64::MAX)
    }
}

impl Admission {
    /// For a runtime that has no more memory than this for bodies, whatever the configuration says.
    pub fn with_ceiling(ceiling: u64) -> Self {
        Self(Arc::new(Shared { calls: Mutex::default(), bytes: Mutex::default(), ceiling }))
    }

    /// The longest body that is read where the configuration takes `most`: on its way a body is held several times, as what
    /// the runtime has of it, in one piece and as it goes upstream.
    pub fn longest_body(&self, most: u64) -> u64 {
        most.min(self.0.ceiling / 5)
    }

    /// Bytes of bodies that are held at this moment.
    pub fn buffered(&self) -> u64 {
        self.bytes().held()
    }

    /// Calls with a place at this moment.
    pub fn calls_under_way(&self) -> usize {
        self.calls().under_way()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        lock(&self.0.calls)
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        lock(&self.0.bytes)
    }
}

/// No step leaves a record half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
