//! What calls are given that leave it to the gateway.

use std::sync::Arc;

use super::credential::check_variable;
use super::temperature::checked;
use crate::config::fault::{Problem, shown};
use crate::config::path::Path;
use crate::config::raw::{self, FromVariable, Setting};
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::dialect::defaults::{Defaults, InChat, Longest};
use crate::identity::caller::{Caller, KeyHash};
use crate::limits::Limits;
use crate::routing::route::Route;

/// More than any model says in one answer.
const LONGEST: u32 = 10_000_000;

pub(super) fn defaults(
    raw: &raw::Defaults,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Defaults {
    if raw.max_tokens.is_some() && raw.max_completion_tokens.is_some() {
        let problem = Problem::new("says the same as max_completion_tokens; one of them is enough");
        report.fault(&path.key("max_tokens"), problem.hint("they differ in what chat completions are given"));
    }
    let names = [
        ("max_tokens", &raw.max_tokens, InChat::MaxTokens),
        ("max_completion_tokens", &raw.max_completion_tokens, InChat::MaxCompletionTokens),
    ];
    let mut longest = None;
    for (name, setting, in_chat) in names {
        let path = path.key(name);
        let Some(tokens) = value(setting.as_ref(), &path, surroundings, report) else { continue };
        match whole(tokens).filter(|tokens| (1..=LONGEST).contains(tokens)) {
            Some(tokens) => longest = Some(Longest { tokens: tokens.into(), in_chat }),
            None => report.fault(&path, format!("must be a whole number, 1 to {LONGEST}")),
        }
    }
    let path = path.key("temperature");
    let temperature = value(raw.temperature.as_ref(), &path, surroundings, report);
    let temperature = temperature.and_then(|temperature| checked(temperature, &path, report));
    Defaults { longest, temperature }
}

/// Warns of every route whose calls have a longest answer, by default, that no limit on tokens has room for: each of
/// them would be refused. `routes` are as the document has them.
pub(super) fn tell_unfitting(
    routes: &[Route],
    of_callers: &Limits,
    keys: &[(KeyHash, Arc<Caller>)],
    report: &mut Report<'_>,
) {
    let callers = keys.iter().map(|(_, caller)| &caller.limits).chain([of_callers]);
    let smallest = |limits: &Limits| limits.tokens.iter().map(|rate| rate.count).min();
    let of_callers = callers.filter_map(smallest).min();
    for (at, route) in routes.iter().enumerate() {
        let Some(Longest { tokens, .. }) = route.defaults.longest else { continue };
        let room = smallest(&route.limits).into_iter().chain(of_callers).min();
        if let Some(room) = room.filter(|room| *room <= tokens) {
            let problem = format!(
                "calls that name no longest answer are given {tokens} tokens, and a limit on tokens has room for \
                 {room}: they are refused"
            );
            let hint = "lower the default, or raise the limit";
            report.warn(&Path::ROOT.key("route").index(at), Problem::new(problem).hint(hint));
        }
    }
}

/// The number, or `None` where there is none or after a fault. What a variable holds is not shown: it may be
/// another one's.
fn value(
    setting: Option<&Setting>,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<f64> {
    let FromVariable { env, default } = match setting? {
        Setting::Number(number) => return Some(*number),
        Setting::Variable(variable) => variable,
    };
    let Some(name) = env else {
        report.missing(&path.key("env"), "missing: the name of the variable");
        return None;
    };
    check_variable(name, &path.key("env"), report);
    if let Some(text) = surroundings.env(name).filter(|text| !text.is_empty()) {
        let number = text.parse().ok();
        if number.is_none() {
            report.fault(path, format!("the variable {} holds no number", shown(name)));
        }
        return number;
    }
    if default.is_none() && !report.excuses(&path.key("default")) {
        let problem =
            Problem::new(format!("the variable {} is not set, and there is no default", shown(name)));
        report.fault(path, problem.hint("set it, or add a default"));
    }
    *default
}

fn whole(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and what it changes is refused"
    )]
    let whole = number as u32;
    #[expect(clippy::float_cmp, reason = "whole numbers of this size are doubles")]
    let is_whole = f64::from(whole) == number;
    is_whole.then_some(whole)
}
