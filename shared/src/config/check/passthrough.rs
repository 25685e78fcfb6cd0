//! What is passed on without being understood.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check_model;
use super::upstream::Names;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::{Store, StoreKind, raw};
use crate::dialect::endpoint::PathPattern;
use crate::dialect::model_pattern::Pattern;
use crate::identity::access::Auth;
use crate::identity::caller::{Caller, KeyHash};
use crate::limits::OnStoreLoss;
use crate::routing::passthrough::{Passthrough, PassthroughRule};
use crate::routing::upstream::{Upstream, UpstreamId};

/// How a path is written.
const SPELLED: &str = "write \"/v1/rerank\", \"/v1/jobs/*\" (one segment) or \"/v1/jobs/**\" (all beneath)";

/// What is opened, with the place in the document of each rule.
pub(super) struct Opened {
    pub(super) passthrough: Passthrough,
    places: Vec<Path>,
}

pub(super) fn passthrough(
    raw: Option<raw::Passthrough>,
    names: &Names,
    upstreams: &[Upstream],
    report: &mut Report<'_>,
) -> Opened {
    let path = Path::ROOT.key("passthrough");
    let mut rules = Vec::new();
    match raw {
        None => {}
        Some(raw::Passthrough::Upstream(name)) => {
            let upstream = names.resolve(&name, &path, report);
            rules.extend(upstream.map(|upstream| (path, of_documented(upstream))));
        }
        Some(raw::Passthrough::Table(table)) => {
            rules.extend(rule(table, names, &path, report).map(|rule| (path, rule)));
        }
        Some(raw::Passthrough::List(tables)) => {
            for (at, table) in tables.into_iter().enumerate() {
                let path = path.index(at);
                rules.extend(rule(table, names, &path, report).map(|rule| (path, rule)));
            }
        }
    }
    tell_unreachable(&rules, upstreams, report);
    let (places, rules) = rules.into_iter().unzip();
    Opened { passthrough: Passthrough::new(rules), places }
}

fn of_documented(upstream: UpstreamId) -> PassthroughRule {
    PassthroughRule { upstream, paths: Vec::new(), methods: Vec::new(), models: None, owners: None }
}

fn rule(
    table: raw::PassthroughTable,
    names: &Names,
    path: &Path,
    report: &mut Report<'_>,
) -> Option<PassthroughRule> {
    let place = path.key("upstream");
    if table.upstream.is_none() {
        let hint = "name the upstream that gets what is passed through";
        report.missing(&place, Problem::new("missing").hint(hint));
    }
    let upstream = table.upstream.as_deref().and_then(|name| names.resolve(name, &place, report));
    let is_empty = table.paths.as_ref().is_some_and(Vec::is_empty);
    if is_empty && report.is_whole(&path.key("paths")) {
        let hint = "leave it out to open all that OpenAI documents";
        report.fault(&path.key("paths"), Problem::new("opens no path").hint(hint));
    }
    let paths = patterns(&table.paths.unwrap_or_default(), PathPattern::parse, &path.key("paths"), report);
    let methods = methods(table.methods, &path.key("methods"), report);
    let models = table.models.map(|models| self::models(models, &path.key("models"), report));
    let policy = table.on_store_loss;
    let owners = table.owners.unwrap_or(false).then_some(policy.unwrap_or(OnStoreLoss::Closed));
    let place = path.key("on_store_loss");
    match policy {
        Some(_) if owners.is_none() => report.fault(&place, "only with owners = true"),
        Some(OnStoreLoss::Local) => {
            report.fault(
                &place,
                Problem::new("no process knows by itself").hint("write \"closed\" or \"open\""),
            );
        }
        Some(OnStoreLoss::Closed | OnStoreLoss::Open) | None => {}
    }
    Some(PassthroughRule { upstream: upstream?, paths, methods, models, owners })
}

/// Paths as `parse` reads them.
pub(super) fn patterns(
    written: &[String],
    parse: fn(&str) -> Result<PathPattern, &'static str>,
    path: &Path,
    report: &mut Report<'_>,
) -> Vec<PathPattern> {
    let parsed = written.iter().enumerate().filter_map(|(at, text)| match parse(text) {
        Ok(pattern) => Some(pattern),
        Err(problem) => {
            report.fault(&path.index(at), Problem::new(problem).hint(SPELLED));
            None
        }
    });
    parsed.collect()
}

fn methods(
    written: Option<Vec<raw::PassthroughMethod>>,
    path: &Path,
    report: &mut Report<'_>,
) -> Vec<String> {
    let Some(written) = written else { return Vec::new() };
    if written.is_empty() && report.is_whole(path) {
        report.fault(path, Problem::new("opens no method").hint("leave it out to open all of them"));
    }
    let name = |method: raw::PassthroughMethod| match method {
        raw::PassthroughMethod::Get => "GET",
        raw::PassthroughMethod::Post => "POST",
        raw::PassthroughMethod::Put => "PUT",
        raw::PassthroughMethod::Patch => "PATCH",
        raw::PassthroughMethod::Delete => "DELETE",
    };
    written.into_iter().map(|method| name(method).to_owned()).collect()
}

/// An empty list would let everybody through, which leaving it out says.
fn models(written: Vec<String>, path: &Path, report: &mut Report<'_>) -> Vec<Pattern> {
    if written.is_empty() && report.is_whole(path) {
        let hint = "leave it out to ask for none, or write [\"*\"] for callers that may use every model";
        report.fault(path, Problem::new("names no model").hint(hint));
    }
    for (at, model) in written.iter().enumerate() {
        check_model(model, &path.index(at), report);
    }
    written.into_iter().map(Pattern::new).collect()
}

/// Refuses what a rule opens that earlier ones take for everybody who could reach it.
fn tell_unreachable(rules: &[(Path, PassthroughRule)], upstreams: &[Upstream], report: &mut Report<'_>) {
    // An upstream with a fault is not among them, and the faults are told.
    if !report.is_clean() {
        return;
    }
    let tenant = |rule: &PassthroughRule| upstreams[rule.upstream.0].tenant.as_deref();
    for (at, (path, rule)) in rules.iter().enumerate() {
        let earlier: Vec<_> = rules[..at]
            .iter()
            .map(|(_, earlier)| earlier)
            .filter(|earlier| tenant(earlier).is_none() || tenant(earlier) == tenant(rule))
            .filter(|earlier| {
                let has = |method| earlier.methods.contains(method);
                earlier.methods.is_empty() || (!rule.methods.is_empty() && rule.methods.iter().all(has))
            })
            .collect();
        let problem = || {
            Problem::new("is never reached: a table above opens it")
                .hint("the first that opens a path takes it")
        };
        if rule.paths.is_empty() && earlier.iter().any(|earlier| earlier.paths.is_empty()) {
            report.fault(path, problem());
        }
        for (place, pattern) in rule.paths.iter().enumerate() {
            let is_taken = earlier.iter().any(|earlier| match earlier.paths.as_slice() {
                [] => pattern.is_documented(),
                paths => paths.iter().any(|taken| taken.covers(pattern)),
            });
            if is_taken {
                report.fault(&path.key("paths").index(place), problem());
            }
        }
    }
}

/// Tells of owners that end with the process.
pub(super) fn tell_forgetful(opened: &Opened, store: &Store, report: &mut Report<'_>) {
    let remembering = |(_, rule): &(&Path, &PassthroughRule)| rule.owners.is_some();
    let mut rules = opened.places.iter().zip(&opened.passthrough.rules);
    if store.kind == StoreKind::Embedded
        && let Some((path, _)) = rules.find(remembering)
    {
        let problem = Problem::new("owners end with the process, and nobody has what was made before");
        report.warn(&path.key("owners"), problem.hint("a Redis keeps them, in [store]"));
    }
}

/// Tells of accounts that several tenants reach through what is opened, and of tenants that nobody is.
pub(super) fn tell_shared(
    opened: &Opened,
    upstreams: &[Upstream],
    auth: Auth,
    keys: &[(KeyHash, Arc<Caller>)],
    report: &mut Report<'_>,
) {
    let is_open = match auth {
        Auth::Keys => false,
        Auth::Open { .. } => true,
    };
    for upstream in upstreams {
        let Some(tenant) = &upstream.tenant else { continue };
        let is_known = keys.iter().any(|(_, caller)| caller.tenant == *tenant);
        if !(is_known || is_open && tenant == Caller::OPEN_TENANT) {
            let path = Path::ROOT.key("upstream").key(&upstream.name).key("tenant");
            report
                .warn(&path, Problem::new("no key is of this tenant").hint("nobody reaches its passthrough"));
        }
    }
    let granted = keys.iter().filter(|(_, caller)| !caller.passthrough.is_empty());
    let tenants: BTreeSet<_> = granted.map(|(_, caller)| caller.tenant.as_str()).collect();
    if is_open || tenants.len() < 2 {
        return;
    }
    for (path, rule) in opened.places.iter().zip(&opened.passthrough.rules) {
        let is_shared = rule.owners.is_none()
            && upstreams.get(rule.upstream.0).is_some_and(|upstream| upstream.tenant.is_none());
        if is_shared {
            let problem = Problem::new(format!("{} tenants share this account", tenants.len()));
            report.warn(
                path,
                problem.hint("owners = true tells them apart, or an upstream for each, with `tenant`"),
            );
        }
    }
}
