//! Aliases: followed to their end, which must be a model that some route answers.

use std::collections::{BTreeMap, BTreeSet};

use super::check_model;
use crate::config::fault::{Problem, shown};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::dialect::model_pattern::Pattern;
use crate::routing::route::Route;

/// Alias → model, chains followed to their end. `routes` is `None` if a fault leaves some of them unknown.
pub(super) fn aliases(
    raw: &BTreeMap<String, String>,
    routes: Option<&[Route]>,
    report: &mut Report<'_>,
) -> BTreeMap<String, String> {
    let table = Path::ROOT.key("alias");
    let ends = ends(raw, &table, report);
    let answered = routes.map(Answered::by);
    for (alias, model) in raw {
        let path = table.key(alias);
        let is_sound = check_exact(alias, &path, report) && check_exact(model, &path, report);
        if let (true, Some(answered), Some(end)) = (is_sound, &answered, ends.get(alias.as_str())) {
            against_routes(alias, end, answered, &path, report);
        }
    }
    ends.into_iter().map(|(alias, end)| (alias.to_owned(), end.to_owned())).collect()
}

/// The models that routes answer.
struct Answered<'a> {
    exact: BTreeSet<&'a str>,
    globs: Vec<&'a Pattern>,
}

impl<'a> Answered<'a> {
    fn by(routes: &'a [Route]) -> Self {
        let patterns = routes.iter().map(|route| &route.pattern);
        let (exact, globs): (Vec<_>, Vec<_>) = patterns.partition(|pattern| pattern.is_exact());
        Self { exact: exact.into_iter().map(Pattern::as_str).collect(), globs }
    }

    fn contains(&self, model: &str) -> bool {
        self.exact.contains(model) || self.globs.iter().any(|glob| glob.matches(model))
    }
}

fn against_routes(alias: &str, end: &str, answered: &Answered<'_>, path: &Path, report: &mut Report<'_>) {
    if answered.exact.contains(alias) {
        let problem = "hides the route of the same name: a call for it goes where the alias leads";
        report.warn(path, problem);
    }
    if !answered.contains(end) {
        let problem = Problem::new(format!("leads to {}, which no route answers", shown(end)));
        report.fault(path, problem.hint("add a [[route]] whose model matches it"));
    }
}

fn check_exact(model: &str, path: &Path, report: &mut Report<'_>) -> bool {
    if model.contains('*') {
        report.fault(path, "an alias leads from one model to one model; a pattern cannot stand here");
        return false;
    }
    check_model(model, path, report)
}

/// Where each alias ends. Those that lead into a cycle end nowhere; each cycle is told once.
fn ends<'a>(
    raw: &'a BTreeMap<String, String>,
    table: &Path,
    report: &mut Report<'_>,
) -> BTreeMap<&'a str, &'a str> {
    let mut ends = BTreeMap::new();
    let mut endless = BTreeSet::new();
    for alias in raw.keys() {
        let mut trail = Vec::new();
        let mut on_trail = BTreeSet::new();
        let mut at = alias.as_str();
        let end = loop {
            if let Some(end) = ends.get(at) {
                break Some(*end);
            }
            if endless.contains(at) {
                break None;
            }
            if on_trail.contains(at) {
                tell_cycle(trail.iter().copied().skip_while(|passed| *passed != at), table, report);
                break None;
            }
            let Some(next) = raw.get(at) else { break Some(at) };
            trail.push(at);
            on_trail.insert(at);
            at = next;
        };
        match end {
            Some(end) => ends.extend(trail.into_iter().map(|passed| (passed, end))),
            None => endless.extend(trail),
        }
    }
    ends
}

fn tell_cycle<'a>(cycle: impl Iterator<Item = &'a str>, table: &Path, report: &mut Report<'_>) {
    const MANY: usize = 8;
    let cycle: Vec<_> = cycle.collect();
    let Some(first) = cycle.first() else { return };
    let mut way: Vec<_> = cycle.iter().take(MANY).map(|alias| shown(alias)).collect();
    if cycle.len() > MANY {
        way.push("…".into());
    }
    way.push(shown(first));
    report.fault(&table.key(first), format!("leads back to itself: {}", way.join(" → ")));
}
