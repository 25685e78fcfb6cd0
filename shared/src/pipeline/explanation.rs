//! What an explanation says of routing: which route, which candidates, and why.

use serde_json::value::RawValue;

use crate::config::Config;
use crate::dialect::call::Given;
use crate::ledger::explanation::{Explanation, Left, Named};
use crate::routing::plan::{Plan, Resolved, Role};
use crate::routing::route::Pick;

/// Only a model that the caller may use is explained.
pub(super) fn resolved(explanation: &mut Explanation, config: &Config, resolved: &Resolved) {
    let route = &config.routes[resolved.route];
    if explanation.model.as_ref() != Some(&resolved.model) {
        explanation.alias = Some(resolved.model.clone());
    }
    explanation.route = Some(route.pattern.to_string());
    explanation.pick = Some(match route.pick {
        Pick::Weighted => "weighted",
        Pick::Fastest => "fastest",
        Pick::LeastBusy => "least-busy",
    });
}

/// What the client left to the gateway.
pub(super) fn filled(explanation: &mut Explanation, given: &[Given]) {
    let members: Vec<String> = given.iter().map(Given::member).collect();
    let object = || RawValue::from_string(format!("{{{}}}", members.join(","))).ok();
    explanation.defaults = if members.is_empty() { None } else { object() };
}

/// The candidates in their order, and those that were left out.
pub(super) fn planned(explanation: &mut Explanation, config: &Config, plan: &Plan) {
    let name = |upstream| config.upstream(upstream).name.clone();
    let named = plan.candidates.iter().map(|candidate| Named {
        upstream: name(candidate.upstream),
        model: candidate.model.clone(),
        role: match candidate.role {
            Role::Target => "target",
            Role::Fallback => "fallback",
        },
        failure_rate: share(candidate.policies.model.failure_rate()),
    });
    explanation.candidates = named.collect();
    let skipped = plan.skipped.iter();
    explanation.skipped =
        skipped.map(|skip| Left { upstream: name(skip.upstream), why: skip.why.clone() }).collect();
}

/// Millionths as per cent.
fn share(millionths: u32) -> String {
    let (whole, rest) = (millionths / 10_000, millionths % 10_000);
    let rest = if rest == 0 { String::new() } else { format!(".{rest:04}") };
    format!("{whole}{}%", rest.trim_end_matches('0'))
}
