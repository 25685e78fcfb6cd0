//! Which upstreams a call goes to, and in which order.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::identity::caller::Caller;
use crate::random::{below, scramble};
use crate::routing::breaker::control::{Forced, Override};
use crate::routing::breaker::{Alternatives, Gate, Policies};
use crate::routing::load::Standing;
use crate::routing::route::{Pick, Route, Sticky, Target};
use crate::routing::table::Table;
use crate::routing::upstream::{Credential, UpstreamId};
use crate::time::{Instant, go_duration};

/// An operator who holds a breaker open and names no end is asked again after this.
const NO_END_NAMED: Duration = Duration::from_secs(30);

/// The route that serves a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Index in [`Table::routes`].
    pub route: usize,
    /// The model behind the aliases.
    pub model: String,
}

/// A deployment that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub upstream: UpstreamId,
    /// The upstream's own name for the model.
    pub model: String,
    pub role: Role,
    /// The breaker that stands before it; with `upstream/model` its upstream's does as well.
    pub breaker: String,
    pub policies: Policies,
    /// What both say.
    pub gate: Gate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of the route's `to`.
    Target,
    /// One of its `fallback`.
    Fallback,
}

/// A deployment that may not, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub upstream: UpstreamId,
    pub why: String,
}

/// The order in which candidates are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub candidates: Vec<Candidate>,
    pub skipped: Vec<Skipped>,
    /// When the first of the open breakers lets a call through, or it is worth to look again.
    pub opens: Option<Instant>,
}

/// What chance and time have to say.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    pub roll: u64,
    pub now: Instant,
}

/// Finds the route for the model that `caller` asked for; `None` when there is none that it may use, and
/// nobody is told which.
pub fn resolve(table: Table<'_>, caller: &Caller, asked: &str) -> Option<Resolved> {
    let model = table.aliases.get(asked).map_or(asked, String::as_str);
    let route = table.routes.iter().position(|route| route.pattern.matches(model))?;
    caller.may_call(asked, model).then(|| Resolved { route, model: model.to_owned() })
}

/// The route for a call that names no model, if `caller` may use every model: the upstream finds it by itself.
pub fn resolve_unnamed(table: Table<'_>, caller: &Caller) -> Option<Resolved> {
    let route = table.routes.iter().position(|route| route.pattern.as_str() == "*")?;
    let pattern = &table.routes[route].pattern;
    caller.may_call_all_of(pattern).then(|| Resolved { route, model: String::new() })
}

/// The breaker of a deployment: its own beside its upstream's, or its upstream's alone where that wants one for all of its
/// models and the route has no policy of its own.
pub fn breaker(table: Table<'_>, route: &Route, target: &Target, model: &str) -> String {
    let upstream = table.upstream(target.upstream);
    let model = target.model.as_deref().unwrap_or(model);
    if (route.breaker.is_some() || upstream.breaker_per_model) && !model.is_empty() {
        format!("{}/{model}", upstream.name)
    } else {
        upstream.name.clone()
    }
}

/// What the store has said.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Of the route's upstreams, where it picks by them.
    pub standings: &'a [(UpstreamId, Standing)],
    /// Of its breakers, by name.
    pub gates: &'a [(String, Gate)],
}

/// Orders the candidates of a route; those that may not be asked are left out, with the reason.
pub fn order(
    table: Table<'_>,
    caller: &Caller,
    resolved: &Resolved,
    known: Known<'_>,
    chance: Chance,
) -> Plan {
    let route = &table.routes[resolved.route];
    let mut plan = Plan::default();
    let mut targets = plan.usable(table, &route.to);
    targets.retain(|target| {
        let is_weighted = target.weight > 0;
        if !is_weighted {
            plan.skipped.push(Skipped { upstream: target.upstream, why: "weight 0".into() });
        }
        is_weighted
    });
    let chance = match route.sticky {
        Sticky::Nothing => chance,
        Sticky::Caller => Chance { roll: caller_roll(caller, route), ..chance },
    };
    sort_by_pick(&mut targets, route.pick, known.standings, chance);
    let fallbacks = plan.usable(table, &route.fallback);
    let reachable: Vec<&Target> = targets.iter().chain(&fallbacks).copied().collect();
    let roles = targets.into_iter().map(|target| (target, Role::Target));
    for (target, role) in roles.chain(fallbacks.into_iter().map(|target| (target, Role::Fallback))) {
        let breaker = breaker(table, route, target, &resolved.model);
        let gate = known.gates.iter().find(|(name, _)| *name == breaker);
        let candidate = Candidate {
            upstream: target.upstream,
            model: target.model.clone().unwrap_or_else(|| resolved.model.clone()),
            role,
            policies: policies(table, route, target, &reachable),
            gate: gate.map_or(Gate::Closed, |(_, gate)| *gate),
            breaker,
        };
        plan.take(candidate, chance.now);
    }
    plan
}

/// When the breakers of a deployment open, for calls of `route`: what is configured holds, and a rate that is not
/// depends on whether the route reaches another deployment, and another upstream. A breaker that several routes share
/// takes each finding by the policy of the route that the call came by.
fn policies(table: Table<'_>, route: &Route, target: &Target, reachable: &[&Target]) -> Policies {
    let alternatives = |is_another: &dyn Fn(&Target) -> bool| {
        let has_some = reachable.iter().any(|other| is_another(other));
        if has_some { Alternatives::Some } else { Alternatives::None }
    };
    let upstreams = table.upstream(target.upstream).breaker;
    let is_elsewhere = |other: &Target| other.upstream != target.upstream;
    let is_other = |other: &Target| is_elsewhere(other) || other.model != target.model;
    Policies {
        model: route.breaker.unwrap_or(upstreams).on_a_route(alternatives(&is_other)),
        upstream: upstreams.on_a_route(alternatives(&is_elsewhere)),
    }
}

impl Plan {
    /// A candidate behind an open breaker is none.
    pub(crate) fn take(&mut self, candidate: Candidate, now: Instant) {
        match candidate.gate {
            Gate::Closed | Gate::HalfOpen | Gate::Forced(Override { forced: Forced::Closed, .. }) => {
                self.candidates.push(candidate);
            }
            Gate::Open { until } => {
                let why = format!("breaker open for {}", go_duration(until.since(now)));
                self.skip(candidate.upstream, why, until);
            }
            Gate::Forced(Override { forced: Forced::Open, until: Some(until) }) => {
                let why = format!("held open by an operator for {}", go_duration(until.since(now)));
                self.skip(candidate.upstream, why, until);
            }
            Gate::Forced(Override { forced: Forced::Open, until: None }) => {
                self.skip(candidate.upstream, "held open by an operator".into(), now.after(NO_END_NAMED));
            }
        }
    }

    fn skip(&mut self, upstream: UpstreamId, why: String, opens: Instant) {
        self.skipped.push(Skipped { upstream, why });
        self.opens = Some(self.opens.map_or(opens, |first| first.min(opens)));
    }

    fn usable<'c>(&mut self, table: Table<'_>, targets: &'c [Target]) -> Vec<&'c Target> {
        let mut usable = Vec::with_capacity(targets.len());
        for target in targets {
            match &table.upstream(target.upstream).credential {
                Credential::None | Credential::Known(_) => usable.push(target),
                Credential::Missing { why } => {
                    self.skipped.push(Skipped { upstream: target.upstream, why: why.clone() });
                }
            }
        }
        usable
    }
}

fn sort_by_pick(
    targets: &mut Vec<&Target>,
    pick: Pick,
    standings: &[(UpstreamId, Standing)],
    chance: Chance,
) {
    by_weight(targets, chance.roll);
    let standing = |target: &Target| {
        let found = standings.iter().find(|(upstream, _)| *upstream == target.upstream);
        found.map(|(_, standing)| *standing).unwrap_or_default()
    };
    // Stable sorts: among equals the weighted roll has decided.
    match pick {
        Pick::Weighted => {}
        Pick::Fastest => targets.sort_by_key(|target| standing(target).cost(chance.now)),
        Pick::LeastBusy => {
            // Calls in flight for the weight, without fractions.
            let load = |target: &Target| {
                (u128::from(standing(target).in_flight) << 32) / u128::from(target.weight.max(1))
            };
            targets.sort_by_key(|target| load(target));
        }
    }
}

/// The first by weight, then the first of the rest by weight, and so on, all from one roll.
///
/// The roll is a fixed point on a line that the weights share out in their order, so moving weight from the
/// second target to the first moves only the calls in between: whoever has migrated stays migrated.
fn by_weight(targets: &mut Vec<&Target>, roll: u64) {
    let (mut rest, mut roll) = (std::mem::take(targets), roll);
    while !rest.is_empty() {
        let total: u64 = rest.iter().map(|target| u64::from(target.weight)).sum();
        let mut point = below(roll, total);
        let chosen = rest.iter().position(|target| {
            let weight = u64::from(target.weight);
            let is_here = point < weight;
            point = point.saturating_sub(weight);
            is_here
        });
        targets.push(rest.remove(chosen.unwrap_or(0)));
        roll = scramble(roll);
    }
}

/// The same caller has the same roll on the same route, on every replica.
fn caller_roll(caller: &Caller, route: &Route) -> u64 {
    let digest = Sha256::new()
        .chain_update(caller.tenant.as_bytes())
        .chain_update([0])
        .chain_update(caller.name.as_bytes())
        .chain_update([0])
        .chain_update(route.pattern.as_str().as_bytes())
        .finalize();
    digest.iter().take(8).fold(0, |roll, byte| roll << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn targets(weights: &[u32]) -> Vec<Target> {
        let target =
            |(at, weight): (usize, &u32)| Target { upstream: UpstreamId(at), model: None, weight: *weight };
        weights.iter().enumerate().map(target).collect()
    }

    fn first(targets: &[Target], pick: Pick, standings: &[(UpstreamId, Standing)], roll: u64) -> usize {
        let mut order: Vec<&Target> = targets.iter().collect();
        sort_by_pick(&mut order, pick, standings, Chance { roll, now: Instant::from_micros(1) });
        order[0].upstream.0
    }

    #[test]
    fn weights_are_kept_to() {
        let targets = targets(&[10, 90]);
        let firsts = (0..1000).filter(|n| first(&targets, Pick::Weighted, &[], n << 54 | n) == 0);
        let share = firsts.count();
        assert!((90..=110).contains(&share), "{share} of 1000");
    }

    #[test]
    fn more_weight_takes_nobody_back() {
        for step in [(10, 90), (50, 50), (90, 10)] {
            let (before, after) = (targets(&[step.0, step.1]), targets(&[step.0 + 5, step.1 - 5]));
            for roll in (0..1000_u64).map(|n| n << 54) {
                if first(&before, Pick::Weighted, &[], roll) == 0 {
                    assert_eq!(first(&after, Pick::Weighted, &[], roll), 0);
                }
            }
        }
    }

    #[test]
    fn the_fastest_and_the_least_busy_come_first() {
        let targets = targets(&[1, 1, 2]);
        let standing = |millis, in_flight| {
            let mut standing = Standing::default();
            standing.in_flight = in_flight;
            standing.sample(Duration::from_millis(millis), false, Instant::from_micros(1));
            standing
        };
        let standings: Vec<_> = [standing(300, 4), standing(100, 3), standing(200, 5)]
            .into_iter()
            .enumerate()
            .map(|(at, standing)| (UpstreamId(at), standing))
            .collect();
        assert_eq!(first(&targets, Pick::Fastest, &standings, 0), 1);
        assert_eq!(first(&targets, Pick::LeastBusy, &standings, 0), 2);
        assert_eq!(first(&targets, Pick::Fastest, &standings[..1], u64::MAX), 2, "the unknown are tried");
    }

    proptest! {
        #[test]
        fn every_target_is_in_the_order_once(weights in proptest::collection::vec(1_u32..1000, 1..8), roll: u64) {
            let targets = targets(&weights);
            let mut order: Vec<&Target> = targets.iter().collect();
            by_weight(&mut order, roll);
            let mut seen: Vec<_> = order.iter().map(|target| target.upstream.0).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..weights.len()).collect::<Vec<_>>());
        }
    }
}
