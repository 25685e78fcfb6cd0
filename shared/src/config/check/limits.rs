//! How much may be asked for: by callers, and of a route.

use std::collections::BTreeMap;
use std::time::Duration;

use super::at_least_one;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw;
use crate::config::report::Report;
use crate::limits::Limits;
use crate::limits::rate::Rate;

/// Of callers that have none of their own: `[limits.default]`, or a thousand calls a minute.
pub(super) fn of_callers(mut raw: BTreeMap<String, raw::Limits>, report: &mut Report<'_>) -> Limits {
    let table = Path::ROOT.key("limits");
    let of_callers = raw.remove("default").map(|raw| limits(raw, &table.key("default"), report));
    for name in raw.keys() {
        let problem = Problem::new("nothing refers to it").hint("only [limits.default] has a meaning");
        report.fault(&table.key(name), problem);
    }
    of_callers.unwrap_or_else(|| Limits {
        requests: vec![Rate { count: 1000, per: Duration::from_mins(1) }],
        ..Limits::default()
    })
}

/// What is left out is not limited.
pub(super) fn limits(limits: raw::Limits, path: &Path, report: &mut Report<'_>) -> Limits {
    at_least_one(limits.concurrent, &path.key("concurrent"), report);
    let mut rates = |key: &str, rates: Option<raw::Rates>| {
        let rates = rates.map_or_else(Vec::new, |rates| rates.0);
        if !rates.iter().all(|rate| rate.is_exact()) {
            let problem = Problem::new("cannot be counted exactly");
            report.fault(&path.key(key), problem.hint("write a rounder number"));
        }
        rates
    };
    Limits {
        requests: rates("requests", limits.requests),
        tokens: rates("tokens", limits.tokens),
        concurrent: limits.concurrent,
        on_store_loss: limits.on_store_loss.unwrap_or_default(),
    }
}
