//! Policies that a document may already hold and that this version does not follow yet.
//!
//! They are checked in full, so that a document which is accepted today is accepted by the version that
//! follows them, and each is answered with a warning.

use std::time::Duration;

use super::credential::check_variable;
use super::positive;
use crate::breaker::Policy;
use crate::config::Limits;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, BaseUrl, Breaker, Cache, Share, Store, StoreKind, Time};
use crate::config::report::Report;
use crate::limit::Rate;

pub(super) fn cache(cache: &Cache, path: &Path, report: &mut Report<'_>) {
    not_in_force(path, report);
    at_least_some_time(cache.ttl, &path.key("ttl"), report);
}

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
        failure_rate: breaker.failure_rate.map_or(default.failure_rate, |share| share.0),
        window: breaker.window.map_or(default.window, |time| time.0),
        minimum: count(breaker.minimum, default.minimum),
        open: breaker.open.map_or(default.open, |time| time.0),
        on_rate_limit: breaker.on_rate_limit.unwrap_or_default(),
    }
}

/// What is left out is not limited.
pub(super) fn limits(limits: raw::Limits, path: &Path, report: &mut Report<'_>) -> Limits {
    at_least_one(limits.concurrent, &path.key("concurrent"), report);
    let rates = |rates: Option<raw::Rates>| rates.map_or_else(Vec::new, |rates| rates.0);
    Limits {
        requests: rates(limits.requests),
        tokens: rates(limits.tokens),
        concurrent: limits.concurrent,
        on_store_loss: limits.on_store_loss.unwrap_or_default(),
    }
}

/// Of callers, where the document says nothing: a thousand calls a minute.
pub(super) fn default_limits() -> Limits {
    let requests = vec![Rate { count: 1000, per: Duration::from_mins(1) }];
    Limits { requests, ..Limits::default() }
}

pub(super) fn store(store: &Store, path: &Path, report: &mut Report<'_>) {
    match store.kind {
        Some(StoreKind::Redis) => {
            let problem = Problem::new("this version keeps its state in process only");
            report.fault(&path.key("kind"), problem.hint("write kind = \"embedded\""));
            redis_url(store.url.as_ref(), &path.key("url"), report);
        }
        Some(StoreKind::Embedded) | None => {
            if store.url.is_some() {
                report.fault(&path.key("url"), "only the kind \"redis\" has one");
            }
        }
    }
}

fn redis_url(url: Option<&BaseUrl>, path: &Path, report: &mut Report<'_>) {
    let hint = "write url = \"redis://host:6379\" or url = { env = \"REDIS_URL\" }";
    match url {
        None => report.missing(path, Problem::new("missing").hint(hint)),
        Some(BaseUrl::Env(reference)) => match &reference.env {
            Some(name) => check_variable(name, &path.key("env"), report),
            None => report.missing(&path.key("env"), "missing: the name of the variable"),
        },
        Some(BaseUrl::Text(text)) if !text.starts_with("redis://") && !text.starts_with("rediss://") => {
            report.fault(path, Problem::new("not the address of a Redis").hint(hint));
        }
        Some(BaseUrl::Text(text)) if text.contains('@') => {
            let problem = Problem::new("a password is not written here");
            report.fault(path, problem.hint("write url = { env = \"REDIS_URL\" }"));
        }
        Some(BaseUrl::Text(_)) => {}
    }
}

fn not_in_force(path: &Path, report: &mut Report<'_>) {
    report.warn(path, "accepted, not in force yet in this version");
}

fn at_least_one(number: Option<u64>, path: &Path, report: &mut Report<'_>) {
    if number == Some(0) {
        report.fault(path, "must be at least 1");
    }
}

fn at_least_some_time(time: Option<Time>, path: &Path, report: &mut Report<'_>) {
    if let Some(time) = time {
        positive(Some(time), time.0, path, report);
    }
}
