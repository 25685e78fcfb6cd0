//! What becomes of calls that pass through.

use super::check_model;
use super::upstream::Names;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::{Passthrough, Route, UpstreamId, raw};
use crate::endpoint::PathPattern;
use crate::pattern::Pattern;

pub(super) fn passthrough(
    raw: raw::Passthrough,
    names: &Names,
    routes: &[Route],
    report: &mut Report<'_>,
) -> Passthrough {
    let path = Path::ROOT.key("passthrough");
    let table = match raw {
        raw::Passthrough::Upstream(name) => {
            let upstream = names.resolve(&name, &path, report);
            return Passthrough { upstream, ..Passthrough::default() };
        }
        raw::Passthrough::Table(table) => table,
    };
    let upstream = match &table.upstream {
        Some(name) => names.resolve(name, &path.key("upstream"), report),
        None => unwritten(names, routes),
    };
    let paths = paths(&table.paths.unwrap_or_default(), &path.key("paths"), report);
    let models = table.models.map(|models| self::models(models, &path.key("models"), report));
    Passthrough { upstream, paths, models }
}

/// Where everything goes.
fn unwritten(names: &Names, routes: &[Route]) -> Option<UpstreamId> {
    let any = routes.iter().find(|route| route.pattern.as_str() == "*");
    any.and_then(|route| route.to.first()).map(|target| target.upstream).or_else(|| names.only())
}

fn paths(written: &[String], path: &Path, report: &mut Report<'_>) -> Vec<PathPattern> {
    let parsed = written.iter().enumerate().filter_map(|(at, text)| match PathPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(problem) => {
            let hint = "write \"/v1/rerank\", \"/v1/jobs/*\" (one segment) or \"/v1/jobs/**\" (all beneath)";
            report.fault(&path.index(at), Problem::new(problem).hint(hint));
            None
        }
    });
    parsed.collect()
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
