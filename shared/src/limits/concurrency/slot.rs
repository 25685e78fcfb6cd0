//! One call under way.

use std::time::Duration;

use super::Limiter;
use super::permits::Grant;

/// The right to one call. Drop gives it back, and the next in line has his turn.
#[derive(Debug)]
#[must_use = "a slot that is dropped is free again"]
pub struct Slot {
    limiter: Limiter,
    grant: Grant,
    took: Option<Duration>,
    is_session: bool,
}

/// What a call says of the place it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Success,
    /// It failed for the upstream's own reasons: it timed out, was refused as too much, or broke.
    Dropped,
    /// Nothing: it was the caller's fault, or he left.
    Ignore,
}

impl Slot {
    pub(super) const fn new(limiter: Limiter, grant: Grant) -> Self {
        Self { limiter, grant, took: None, is_session: false }
    }

    /// How long the first byte took after the slot was had, and what that says: an adaptive bound learns from
    /// it. Only the first sample of a slot counts; a slot that gives none is as one to ignore.
    pub fn sample(&mut self, took: Duration, verdict: Verdict) {
        if self.took.is_none() {
            self.took = Some(took);
            self.limiter.step(|permits| permits.sample(self.grant, took, verdict));
        }
    }

    /// It is held for as long as its caller likes, which says nothing of how long others are.
    pub fn lasts(&mut self) {
        self.is_session = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limiter.step(|permits| {
            if self.took.is_none() {
                permits.sample(self.grant, Duration::ZERO, Verdict::Ignore);
            }
            if self.is_session {
                permits.part();
            } else {
                permits.leave(self.grant, self.took.unwrap_or_default());
            }
        });
    }
}
