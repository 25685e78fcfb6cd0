//! Routes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use super::upstream::Names;
use super::{breaker, cache, check_model, defaults, limits, positive, within};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::config::{Store, raw};
use crate::dialect::defaults::Defaults;
use crate::dialect::model_pattern::Pattern;
use crate::ledger::failure::Condition;
use crate::routing::retry::Retry;
use crate::routing::route::{OnDisconnect, Pick, Route, Sticky, Target};

/// So that no sum of weights overflows.
const MOST_WEIGHT: u32 = 1_000_000;

/// How long a stream is held back, and after how long a silence its client is sent a comment, where the document says
/// nothing.
const HOLD_BACK: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the rest of the document says to a route.
pub(super) struct Context<'a> {
    pub(super) names: &'a Names,
    pub(super) store: &'a Store,
    /// Of routes that have none of their own.
    pub(super) defaults: Defaults,
    pub(super) surroundings: &'a dyn Surroundings,
}

/// In the order of the document.
pub(super) fn routes(routes: Vec<raw::Route>, context: &Context<'_>, report: &mut Report<'_>) -> Vec<Route> {
    let list = Path::ROOT.key("route");
    if routes.is_empty() && report.is_whole(&list) {
        let hint = "add [[route]] with model = \"*\" and to = [\"UPSTREAM\"]";
        report.missing(&list, Problem::new("there is no route").hint(hint));
    }
    let mut patterns = BTreeMap::new();
    let mut checked = Vec::new();
    for (at, raw) in routes.into_iter().enumerate() {
        let path = list.index(at);
        if let Some(model) = &raw.model {
            match patterns.entry(model.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(report.as_written(&path));
                }
                Entry::Occupied(first) => {
                    report.fault(&path.key("model"), format!("{} has the same model", first.get()));
                }
            }
        }
        checked.extend(route(raw, &path, context, report));
    }
    checked
}

/// Warns where clients that ask for `GET /v1/models` would find none: many offer their users nothing else.
pub(super) fn tell_unlisted(routes: &[Route], aliases: &BTreeMap<String, String>, report: &mut Report<'_>) {
    let is_listed = |route: &Route| route.pattern.is_exact() || !route.advertise.is_empty();
    if routes.is_empty() || !aliases.is_empty() || routes.iter().any(is_listed) || !report.is_clean() {
        return;
    }
    let problem = Problem::new("GET /v1/models lists nothing: clients see an empty list of models");
    let hint = "name some: advertise = [\"MODEL\", …]";
    report.warn(&Path::ROOT.key("route").index(0).key("model"), problem.hint(hint));
}

fn route(raw: raw::Route, path: &Path, context: &Context<'_>, report: &mut Report<'_>) -> Option<Route> {
    let Context { names, store, surroundings, .. } = *context;
    let pattern = pattern(raw.model, &path.key("model"), report);
    if let Some(pattern) = &pattern {
        advertise(pattern, &raw.advertise, &path.key("advertise"), report);
    }
    let cache = raw.cache.and_then(|raw| cache::cache(&raw, store, &path.key("cache"), report));
    let breaker = raw.breaker.map(|breaker| {
        let path = path.key("breaker");
        if breaker.per_model.is_some() {
            report.fault(&path.key("per_model"), "belongs to an upstream; a route's breakers are per model");
        }
        breaker::breaker(&breaker, &path, report)
    });
    let to = to(raw.to, &path.key("to"), names, report);
    let fallback = targets(raw.fallback, &path.key("fallback"), names, report);
    let defaults = raw.defaults.map_or(context.defaults, |raw| {
        defaults::defaults(&raw, &path.key("defaults"), surroundings, report)
    });
    let limits = raw.limits.map(|limits| limits::limits(limits, &path.key("limits"), report));
    let retry = retry(raw.retry.as_ref(), &path.key("retry"), report);
    let keep_alive = match raw.keep_alive {
        Some(raw::KeepAlive::Word(_)) => None,
        Some(raw::KeepAlive::After(time)) => {
            Some(positive(Some(time), KEEP_ALIVE, &path.key("keep_alive"), report))
        }
        None => Some(KEEP_ALIVE),
    };
    Some(Route {
        pattern: pattern?,
        to,
        fallback,
        fallback_on: conditions(raw.fallback_on),
        pick: raw.pick.unwrap_or(Pick::Weighted),
        sticky: raw.sticky.unwrap_or(Sticky::Nothing),
        on_disconnect: raw.on_disconnect.unwrap_or(OnDisconnect::Cancel),
        retry,
        advertise: raw.advertise,
        defaults,
        limits: limits.unwrap_or_default(),
        breaker,
        cache,
        hold_back: raw.hold_back.map_or(HOLD_BACK, |time| time.0),
        keep_alive,
    })
}

fn pattern(model: Option<String>, path: &Path, report: &mut Report<'_>) -> Option<Pattern> {
    let Some(model) = model else {
        let hint = "write a model's name, a pattern such as \"gpt-*\", or \"*\" for all";
        report.missing(path, Problem::new("missing").hint(hint));
        return None;
    };
    check_model(&model, path, report).then(|| Pattern::new(model))
}

fn advertise(pattern: &Pattern, names: &[String], path: &Path, report: &mut Report<'_>) {
    for (at, name) in names.iter().enumerate() {
        let path = path.index(at);
        if !check_model(name, &path, report) {
            continue;
        }
        if name.contains('*') {
            report.fault(&path, "a pattern; names of models are listed here");
        } else if !pattern.matches(name) {
            report.fault(&path, "does not match the route's model, so it would never be answered here");
        }
    }
}

fn to(raw: Option<Vec<raw::Target>>, path: &Path, names: &Names, report: &mut Report<'_>) -> Vec<Target> {
    let hint = "write to = [\"UPSTREAM\"]";
    let Some(raw) = raw else {
        report.missing(path, Problem::new("missing").hint(hint));
        return Vec::new();
    };
    let given = raw.len();
    if given == 0 && report.is_whole(path) {
        report.fault(path, Problem::new("leads nowhere").hint(hint));
    }
    let to = targets(raw, path, names, report);
    let is_complete = given > 0 && to.len() == given && report.is_whole(path);
    if is_complete && to.iter().all(|target| target.weight == 0) {
        report.fault(path, "leads nowhere: every weight is 0");
    }
    to
}

fn targets(raw: Vec<raw::Target>, path: &Path, names: &Names, report: &mut Report<'_>) -> Vec<Target> {
    let checked = raw.into_iter().enumerate().filter_map(|(at, raw)| {
        let path = path.index(at);
        match raw {
            raw::Target::Upstream(name) => {
                let upstream = names.resolve(&name, &path, report)?;
                Some(Target { upstream, model: None, weight: 1 })
            }
            raw::Target::Table(table) => target(table, &path, names, report),
        }
    });
    checked.collect()
}

fn target(raw: raw::TargetTable, path: &Path, names: &Names, report: &mut Report<'_>) -> Option<Target> {
    if let Some(model) = &raw.model {
        check_model(model, &path.key("model"), report);
    }
    let weight = within(raw.weight, 1, (0, MOST_WEIGHT), &path.key("weight"), report);
    let Some(name) = raw.upstream else {
        report.missing(&path.key("upstream"), "missing");
        return None;
    };
    let upstream = names.resolve(&name, &path.key("upstream"), report)?;
    Some(Target { upstream, model: raw.model, weight })
}

/// Each once; all of them if none is named.
fn conditions(raw: Option<Vec<Condition>>) -> Vec<Condition> {
    let Some(mut conditions) = raw else {
        return vec![
            Condition::Connect,
            Condition::Timeout,
            Condition::RateLimit,
            Condition::ServerError,
            Condition::Credentials,
            Condition::Quota,
            Condition::BadAnswer,
        ];
    };
    conditions.sort();
    conditions.dedup();
    conditions
}

fn retry(raw: Option<&raw::Retry>, path: &Path, report: &mut Report<'_>) -> Retry {
    let none = raw::Retry::default();
    let raw = raw.unwrap_or(&none);
    Retry {
        attempts: within(raw.attempts, 3, (1, 3), &path.key("attempts"), report),
        backoff: raw.backoff.map_or(Duration::from_millis(100), |time| time.0),
        max_wait: raw.max_wait.map_or(Duration::from_secs(5), |time| time.0),
    }
}
