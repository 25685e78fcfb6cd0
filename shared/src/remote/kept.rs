//! An answer in a cache that the core does not run: what is kept says itself what it is.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Entry;
use crate::fingerprint::Fingerprint;
use crate::pack::{self, packed};
use crate::platform::{Recall, Recalled};
use crate::time::{Instant, UnixMillis};

const VERSION: u8 = 1;

struct Kept {
    key: Fingerprint,
    /// Milliseconds since 1970.
    since: u64,
    life: Duration,
    entry: Arc<Entry>,
}

packed!(struct Kept { key, since, life, entry });

/// What is to be kept under `key` for `life`.
pub fn keep(key: Fingerprint, entry: &Arc<Entry>, life: Duration, wall: UnixMillis) -> Vec<u8> {
    let kept = Kept { key, since: wall.0, life, entry: Arc::clone(entry) };
    pack::pack(VERSION, &kept, Instant::default())
}

/// What was kept, on which terms it may be given. `None` where it is not what was asked for, too old, or not to be
/// read. Who fetches a new one is for [`super::Opening::join`] to say.
pub fn recall(recall: &Recall, bytes: &[u8], wall: UnixMillis) -> Option<Recalled> {
    let Kept { key, since, life, entry } = pack::unpack(VERSION, bytes, Instant::default()).ok()?;
    let age = Duration::from_millis(wall.0.saturating_sub(since));
    let freshness = recall.window.freshness(age).filter(|_| key == recall.key && age < life)?;
    Some(Recalled { entry, age, freshness, refresh: false, is_stale: age >= recall.window.ttl })
}
