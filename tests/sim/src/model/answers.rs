//! The cache: which tenant asked for what, and the call whose answer is kept for it.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::time::Instant;

/// A tenant, and what makes two orders the same.
pub(crate) type Question = (&'static str, (&'static str, u64, u64, u64));

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: BTreeMap<Question, Kept>,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// The number of the call it comes from.
    pub(crate) call: usize,
    pub(crate) since: Instant,
}

impl Answers {
    pub(crate) fn keep(&mut self, question: Question, call: usize, now: Instant) {
        self.kept.insert(question, Kept { call, since: now });
    }

    /// What is kept, if it is younger than `most`.
    pub(crate) fn find(&self, question: &Question, most: Duration, now: Instant) -> Option<Kept> {
        self.kept.get(question).copied().filter(|kept| now.since(kept.since) < most)
    }
}
