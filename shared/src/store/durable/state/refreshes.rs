//! Who fetches a new answer in place of one that is kept elsewhere: one call at a time.

use std::collections::BTreeMap;

use crate::cache::fingerprint::Fingerprint;
use crate::store::embedded::shares::REFRESH_LEASE;
use crate::time::Instant;

/// Until when somebody does; as many as there are calls, and each ends by itself.
#[derive(Debug, Default)]
pub(super) struct Refreshes(BTreeMap<Fingerprint, Instant>);

impl Refreshes {
    /// Nobody fetches the answer of this key.
    pub(super) fn is_due(&mut self, key: &Fingerprint, now: Instant) -> bool {
        let Some(until) = self.0.get_mut(key) else { return true };
        // A clock that was ahead keeps nobody waiting for longer than a lease.
        *until = (*until).min(now.after(REFRESH_LEASE));
        *until <= now
    }

    pub(super) fn take(&mut self, key: Fingerprint, now: Instant) {
        self.0.retain(|_, until| *until > now);
        self.0.insert(key, now.after(REFRESH_LEASE));
    }

    /// Whoever did does no more.
    pub(super) fn free(&mut self, key: &Fingerprint) {
        self.0.remove(key);
    }
}
