//! Where state is kept, and how much of it.

use std::time::Duration;

use super::positive;
use super::redis::redis;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, Share};
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::config::{Store, StoreKind};

/// A request waits for the store twice; longer is not worth the wait.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes; more does not fit into a machine that this is for.
const MOST_CACHE: u64 = 64 << 30;

pub(super) fn store(raw: &raw::Store, surroundings: &dyn Surroundings, report: &mut Report<'_>) -> Store {
    let path = Path::ROOT.key("store");
    let kind = kind(raw, &path, surroundings, report);
    let timeout = timeout(raw, &path.key("timeout"), report);
    let default = Store::default();
    let cache = raw.cache.map_or(default.cache, |size| size.0);
    if cache > MOST_CACHE {
        report.fault(&path.key("cache"), Problem::new("must be at most 64GiB").hint("0 keeps nothing"));
    }
    if raw.local_share == Some(Share(0)) {
        let problem = Problem::new("must be more than 0%");
        report.fault(&path.key("local_share"), problem.hint("on_store_loss = \"closed\" admits nothing"));
    }
    let local_share = raw.local_share.map_or(default.local_share, |share| share.0);
    Store { kind, timeout, cache, local_share }
}

fn timeout(raw: &raw::Store, path: &Path, report: &mut Report<'_>) -> Option<Duration> {
    let timeout = raw.timeout.map(|time| positive(Some(time), Duration::ZERO, path, report));
    if timeout > Some(LONGEST_TIMEOUT) {
        report.fault(path, "must be at most 10s");
    }
    timeout
}

fn kind(
    store: &raw::Store,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> StoreKind {
    match store.kind {
        // After a fault the configuration is thrown away.
        Some(raw::StoreKind::Redis) => {
            redis(store, path, surroundings, report).map_or(StoreKind::Embedded, StoreKind::Redis)
        }
        Some(raw::StoreKind::Embedded) | None => {
            let given = [("url", store.url.is_some()), ("namespace", store.namespace.is_some())];
            for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                report.fault(&path.key(key), "only the kind \"redis\" has one");
            }
            StoreKind::Embedded
        }
    }
}
