//! When an upstream, or one model of it, is left alone for a while.

use super::{at_least_one, at_least_some_time};
use crate::config::path::Path;
use crate::config::raw::{Breaker, Share};
use crate::config::report::Report;
use crate::routing::breaker::Policy;

pub(super) fn breaker(breaker: &Breaker, path: &Path, report: &mut Report<'_>) -> Policy {
    at_least_one(breaker.consecutive, &path.key("consecutive"), report);
    if breaker.failure_rate == Some(Share(0)) {
        report.fault(&path.key("failure_rate"), "must be more than 0%");
    }
    at_least_some_time(breaker.window, &path.key("window"), report);
    at_least_one(breaker.minimum, &path.key("minimum"), report);
    at_least_some_time(breaker.open, &path.key("open"), report);
    let default = Policy::default();
    let count = |number: Option<u64>, default| match number {
        None => default,
        Some(number) => u32::try_from(number).unwrap_or(u32::MAX),
    };
    Policy {
        consecutive: count(breaker.consecutive, default.consecutive),
        failure_rate: breaker.failure_rate.map(|share| share.0),
        window: breaker.window.map_or(default.window, |time| time.0),
        minimum: count(breaker.minimum, default.minimum),
        open: breaker.open.map_or(default.open, |time| time.0),
        on_rate_limit: breaker.on_rate_limit.unwrap_or_default(),
    }
}
