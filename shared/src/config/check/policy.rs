//! Policies that a document may already hold and that this version does not follow yet.
//!
//! They are checked in full, so that a document which is accepted today is accepted by the version that
//! follows them, and each is answered with a warning.

use super::credential::check_variable;
use super::positive;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{BaseUrl, Breaker, Cache, Limits, Share, Store, StoreKind, Time};
use crate::config::report::Report;

pub(super) fn cache(cache: &Cache, path: &Path, report: &mut Report<'_>) {
    not_in_force(path, report);
    at_least_some_time(cache.ttl, &path.key("ttl"), report);
}

pub(super) fn breaker(breaker: &Breaker, path: &Path, report: &mut Report<'_>) {
    not_in_force(path, report);
    at_least_one(breaker.consecutive, &path.key("consecutive"), report);
    if breaker.failure_rate == Some(Share(0)) {
        report.fault(&path.key("failure_rate"), "must be more than 0%");
    }
    at_least_some_time(breaker.window, &path.key("window"), report);
    at_least_one(breaker.minimum, &path.key("minimum"), report);
    at_least_some_time(breaker.open, &path.key("open"), report);
}

pub(super) fn limits(limits: &Limits, path: &Path, report: &mut Report<'_>) {
    not_in_force(path, report);
    at_least_one(limits.concurrent, &path.key("concurrent"), report);
}

pub(super) fn store(store: &Store, path: &Path, report: &mut Report<'_>) {
    match store.kind {
        Some(StoreKind::Redis) => {
            let problem = Problem::new("this version keeps its state in process only");
            report.fault(&path.key("kind"), problem.hint("write kind = \"embedded\""));
            redis_url(store.url.as_ref(), &path.key("url"), report);
        }
        Some(StoreKind::Embedded) | None => {
            not_in_force(path, report);
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
