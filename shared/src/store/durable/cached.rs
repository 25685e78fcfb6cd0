//! An answer in a cache that the core does not run: what is kept says itself what it is.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Entry;
use crate::cache::fingerprint::Fingerprint;
use crate::store::protocol::{Recall, Recalled};
use crate::time::{Instant, UnixMillis};
use crate::wire::pack::{self, packed};

const VERSION: u8 = 1;

/// Milliseconds by which the clocks of two machines may differ.
const MOST_AHEAD: u64 = 1000;

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
    // How old an answer is that a clock has dated which was ahead nobody knows.
    let is_dated = since <= wall.0.saturating_add(MOST_AHEAD);
    let age = Duration::from_millis(wall.0.saturating_sub(since));
    let freshness = recall.window.freshness(age).filter(|_| is_dated && key == recall.key && age < life)?;
    Some(Recalled { entry, age, freshness, refresh: false, is_stale: age >= recall.window.ttl })
}
