//! What a route keeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::at_least_some_time;
use super::temperature::checked;
use crate::cache::{Policy, Sharing};
use crate::config::Store;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, Cache, CacheTable};
use crate::config::report::Report;
use crate::identity::access::Auth;
use crate::identity::caller::{Caller, KeyHash};
use crate::routing::route::Route;

/// No answer is kept for longer.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Bytes; an answer that is longer is not kept.
const LARGEST: u64 = 64 << 20;

/// `None`: nothing is kept.
pub(super) fn cache(raw: &Cache, store: &Store, path: &Path, report: &mut Report<'_>) -> Option<Policy> {
    match raw {
        Cache::Switch(false) => None,
        Cache::Switch(true) => Some(policy(&CacheTable::default(), store, path, report)),
        Cache::Table(table) => Some(policy(table, store, path, report)),
    }
}

fn policy(raw: &CacheTable, store: &Store, path: &Path, report: &mut Report<'_>) -> Policy {
    let default = Policy::default();
    at_least_some_time(raw.ttl, &path.key("ttl"), report);
    let mut time = |key: &str, time: Option<raw::Time>, default: Duration| {
        let time = time.map_or(default, |time| time.0);
        if time > LONGEST {
            report.fault(&path.key(key), Problem::new("longer than 30 days").hint("write at most \"720h\""));
        }
        time
    };
    Policy {
        ttl: time("ttl", raw.ttl, default.ttl),
        scope: raw.scope.unwrap_or_default(),
        stale_while_revalidate: time(
            "stale_while_revalidate",
            raw.stale_while_revalidate,
            default.stale_while_revalidate,
        ),
        stale_if_error: time("stale_if_error", raw.stale_if_error, default.stale_if_error),
        max_temperature: raw
            .max_temperature
            .and_then(|temperature| checked(temperature, &path.key("max_temperature"), report)),
        coalesce: raw.coalesce.unwrap_or(default.coalesce),
        place: raw.place.unwrap_or_default(),
        max_entry: max_entry(raw.max_entry, default.max_entry, store, &path.key("max_entry"), report),
    }
}

/// A store that keeps nothing bounds nothing; one that is smaller than the default lowers it.
fn max_entry(
    size: Option<raw::Size>,
    default: u64,
    store: &Store,
    path: &Path,
    report: &mut Report<'_>,
) -> u64 {
    let room = if store.cache == 0 { LARGEST } else { store.cache };
    let Some(raw::Size(size)) = size else { return default.min(room) };
    if !(1..=LARGEST).contains(&size) {
        report.fault(path, "must be at least 1 byte and at most 64MiB");
    } else if size > room {
        let problem = Problem::new(format!("more than all answers together may have, which is {room} bytes"));
        report.fault(path, problem.hint("raise cache in [store], or lower this"));
    }
    size
}

/// Warns of every cache that gives tenants each other's answers. `routes` are as the document has them.
pub(super) fn tell_shared(
    routes: &[Route],
    auth: Auth,
    keys: &[(KeyHash, Arc<Caller>)],
    report: &mut Report<'_>,
) {
    let tenants: BTreeSet<_> = keys.iter().map(|(_, caller)| caller.tenant.as_str()).collect();
    if auth != Auth::Keys || tenants.len() < 2 {
        return;
    }
    for (at, route) in routes.iter().enumerate() {
        if route.cache.is_some_and(|cache| cache.scope == Sharing::Shared) {
            let path = Path::ROOT.key("route").index(at).key("cache").key("scope");
            let problem = Problem::new(format!("the {} tenants see each other's answers", tenants.len()));
            report.warn(&path, problem.hint("scope = \"tenant\" keeps them apart"));
        }
    }
}
