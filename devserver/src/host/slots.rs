//! How many instances there may be at the same time.
//!
//! Who finds none free is told so at once: an instance waits for its upstream, which may be minutes, and a client
//! that is told can go elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A clone is of the same slots.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    free: Arc<AtomicUsize>,
}

/// Dropped, it is free again.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(count)) }
    }

    pub(super) fn take(&self) -> Option<Slot> {
        let one_less = |free: usize| free.checked_sub(1);
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        taken.ok().map(|_| Slot(Arc::clone(&self.free)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_given_back_can_be_taken_again() {
        let slots = Slots::new(1);
        let slot = slots.take();
        assert!(slot.is_some());
        assert!(slots.clone().take().is_none());
        drop(slot);
        assert!(slots.take().is_some());
    }
}
