//! Answers in the isolate's own memory: those that were kept or found last, for as long as they are fresh.
//!
//! An older one is looked for where it is kept for all, for somebody else may have fetched a new one.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use weir::cache::Freshness;
use weir::cache::fingerprint::Fingerprint;
use weir::store::durable;
use weir::store::protocol::{Recall, Recalled};
use weir::time::UnixMillis;

/// Bytes of all of them; an isolate has 128 MB for everything.
const MOST: usize = 16 << 20;

/// Bytes of one.
const LARGEST: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct Near {
    by_key: BTreeMap<Fingerprint, Rc<[u8]>>,
    /// The oldest first.
    order: VecDeque<Fingerprint>,
    weight: usize,
}

impl Near {
    pub(crate) fn recall(&self, recall: &Recall, wall: UnixMillis) -> Option<Recalled> {
        let kept = self.by_key.get(&recall.key)?;
        durable::recall(recall, kept, wall).filter(|recalled| recalled.freshness == Freshness::Fresh)
    }

    /// What [`durable::keep`] has made of it.
    pub(crate) fn keep(&mut self, key: Fingerprint, kept: &[u8]) {
        if kept.len() > LARGEST {
            return;
        }
        self.weight = self.weight.saturating_add(kept.len());
        match self.by_key.insert(key, kept.into()) {
            Some(before) => self.weight = self.weight.saturating_sub(before.len()),
            None => self.order.push_back(key),
        }
        while self.weight > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            let gone = self.by_key.remove(&oldest).map_or(0, |gone| gone.len());
            self.weight = self.weight.saturating_sub(gone);
        }
    }
}
