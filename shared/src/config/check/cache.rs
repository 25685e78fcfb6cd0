//! What a route keeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::at_least_some_time;
use crate::cache::{Policy, Sharing};
use crate::caller::{Caller, KeyHash};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, Cache, CacheTable};
use crate::config::report::Report;
use crate::config::{Auth, Route, Store};

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
        max_temperature: raw.max_temperature.and_then(|temperature| {
            let millionths = millionths(temperature);
            if millionths.is_none() {
                report.fault(&path.key("max_temperature"), "must be 0 to 2, with at most six decimals");
            }
            millionths
        }),
        coalesce: raw.coalesce.unwrap_or(default.coalesce),
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

/// A temperature from 0 to 2 in millionths; `None` if it is another number, or has more than six decimals.
///
/// Both formats read a number as a double. One from 0 to 2 differs from the decimal that was written by at
/// most 2⁻⁵³, so its millionths, the multiplication's own rounding included, are off by less than 10⁻⁹. A
/// seventh decimal is a tenth of a millionth or more, so what is off by a thousandth has one; less is noise,
/// such as a sum of doubles leaves, and is rounded away.
fn millionths(temperature: f64) -> Option<u32> {
    let exact = temperature * 1e6;
    let rounded = exact.round();
    let is_temperature = (0.0..=2.0).contains(&temperature) && (exact - rounded).abs() < 1e-3;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 2,000,000"
    )]
    is_temperature.then_some(rounded as u32)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_read_in_millionths() {
        for (temperature, expected) in [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (0.3, Some(300_000)),
            (0.1 + 0.2, Some(300_000)),
            (1.0, Some(1_000_000)),
            (2.0, Some(2_000_000)),
            (0.000_001, Some(1)),
            (1.999_999, Some(1_999_999)),
            (0.000_000_1, None),
            (0.300_000_1, None),
            (1.999_999_9, None),
            (2.000_001, None),
            (-0.000_001, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(millionths(temperature), expected, "{temperature}");
        }
    }

    #[test]
    fn every_millionth_is_read_from_its_decimals() {
        for millionth in (0..=2_000_000).step_by(7) {
            let text = format!("{}.{:06}", millionth / 1_000_000, millionth % 1_000_000);
            assert_eq!(millionths(text.parse().unwrap()), Some(millionth), "{text}");
        }
    }
}
