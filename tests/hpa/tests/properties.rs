//! What holds of every autoscaler, whatever it is told.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use weir_hpa::{
    Autoscaler, Behavior, Change, Container, Metric, Milli, Observation, Phase, Pod, Policy, Readiness,
    Reading, Reason, Resource, Rules, Sample, Select, Spec, Usage,
};

const REQUEST: i64 = 250;
const LIMIT: i64 = 1_000;
const SYNC: u64 = 15;

/// What is known of a pod at a step.
#[derive(Clone, Copy, Debug)]
enum State {
    Measured(i64),
    /// Ready, and without a sample.
    Missing,
    /// Running, not ready, with a sample of its start.
    Starting(i64),
    Pending,
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        6 => (0..=LIMIT).prop_map(State::Measured),
        3 => Just(State::Missing),
        1 => (0..=LIMIT).prop_map(State::Starting),
        1 => Just(State::Pending),
    ]
}

fn any_policy(period: u64) -> impl Strategy<Value = Policy> {
    let period = Duration::from_secs(period);
    prop_oneof![(1..20u32).prop_map(Change::Pods), (1..400u32).prop_map(Change::Percent)]
        .prop_map(move |change| Policy { change, period })
}

/// Policies of one period, for how far they reach back to be one time.
fn any_rules(period: u64) -> impl Strategy<Value = Rules> {
    let select = prop_oneof![3 => Just(Select::Max), 2 => Just(Select::Min), 1 => Just(Select::Disabled)];
    let window = prop_oneof![Just(0), 0..400u64];
    (window, select, prop::collection::vec(any_policy(period), 1..3)).prop_map(
        |(window, select, policies)| Rules {
            window: Some(Duration::from_secs(window)),
            select,
            policies,
            tolerance: None,
        },
    )
}

fn any_behavior() -> impl Strategy<Value = Behavior> {
    (1..150u64)
        .prop_flat_map(|period| (any_rules(period), any_rules(period)))
        .prop_map(|(up, down)| Behavior { up, down })
}

fn any_spec() -> impl Strategy<Value = Spec> {
    (1..10u32, 0..40u32, 20..300u32, any_behavior()).prop_map(|(minimum, more, percent, behavior)| Spec {
        name: "any".to_owned(),
        minimum,
        maximum: minimum + more,
        metrics: vec![cpu(percent)],
        behavior: Some(behavior),
    })
}

fn cpu(percent: u32) -> Metric {
    Metric::Resource { resource: Resource::Cpu, container: None, target: Usage::Utilization(percent) }
}

/// The states of the pods of a step, of which as many are taken as there are replicas.
fn any_steps() -> impl Strategy<Value = Vec<Vec<State>>> {
    let lively = prop::collection::vec(any_state(), 50);
    let doubtful = (0..=LIMIT, 1..5usize).prop_map(|(level, every)| {
        let state = |number| if number % (every + 1) == 0 { State::Measured(level) } else { State::Missing };
        (0..50).map(state).collect::<Vec<_>>()
    });
    let alike = (0..=LIMIT).prop_map(|level| vec![State::Measured(level); 50]);
    prop::collection::vec(prop_oneof![lively, doubtful, alike], 1..40)
}

fn observe(states: impl Iterator<Item = State>, now: Duration) -> Observation {
    let long_ago = Duration::ZERO;
    let (mut pods, mut samples) = (Vec::new(), std::collections::BTreeMap::new());
    for (number, state) in states.enumerate() {
        let name = format!("pod-{number}");
        let (phase, ready, since, value) = match state {
            State::Measured(value) => (Phase::Running, true, long_ago, Some(value)),
            State::Missing => (Phase::Running, true, long_ago, None),
            State::Starting(value) => (Phase::Running, false, now, Some(value)),
            State::Pending => (Phase::Pending, false, now, None),
        };
        if let Some(value) = value {
            let sample = Sample { value: Milli(value), at: now, window: Duration::from_secs(SYNC) };
            samples.insert(name.clone(), sample);
        }
        let container = Container { name: "one".to_owned(), cpu: Some(Milli(REQUEST)), memory: None };
        let readiness = Some(Readiness { ready, since });
        pods.push(Pod {
            name,
            phase,
            deleting: false,
            started: Some(since),
            readiness,
            containers: vec![container],
        });
    }
    let replicas = u32::try_from(pods.len()).unwrap();
    Observation { replicas, existing: replicas, pods, readings: vec![Reading::Pods(samples)] }
}

/// A time that is long after the beginning of it.
fn at(step: usize) -> Duration {
    Duration::from_hours(2) + Duration::from_secs(SYNC * u64::try_from(step).unwrap())
}

/// What a policy allows from `start`, up and down.
fn bounds(rules: &Rules, start: u32, current: u32) -> (u32, u32) {
    let up = |policy: &Policy| match policy.change {
        Change::Pods(pods) => f64::from(start + pods),
        Change::Percent(percent) => (f64::from(start) * (1.0 + f64::from(percent) / 100.0)).ceil(),
    };
    let down = |policy: &Policy| match policy.change {
        Change::Pods(pods) => f64::from(start.saturating_sub(pods)),
        Change::Percent(percent) => (f64::from(start) * (1.0 - f64::from(percent) / 100.0)).trunc().max(0.0),
    };
    let pick = |values: Vec<f64>, most: bool| {
        let fold = if most { f64::max } else { f64::min };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        let picked = values.into_iter().reduce(fold).unwrap() as u32;
        picked
    };
    let (ups, downs) = (rules.policies.iter().map(up).collect(), rules.policies.iter().map(down).collect());
    match rules.select {
        Select::Max => (pick(ups, true), pick(downs, false)),
        Select::Min => (pick(ups, false), pick(downs, true)),
        Select::Disabled => (current, current),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_result_is_within_the_range(spec in any_spec(), steps in any_steps(), begin in 1..60usize) {
        let (minimum, maximum) = (spec.minimum, spec.maximum);
        let mut autoscaler = Autoscaler::new(spec);
        let mut replicas = begin;
        for (step, states) in steps.iter().enumerate() {
            let states = states.iter().cycle().take(replicas).copied();
            let decided = autoscaler.step(at(step), &observe(states, at(step))).replicas;
            prop_assert!((minimum..=maximum).contains(&decided), "{decided} at step {step}");
            replicas = usize::try_from(decided).unwrap();
        }
    }

    #[test]
    fn it_never_moves_against_what_is_measured(spec in any_spec(), steps in any_steps()) {
        let Some(Metric::Resource { target: Usage::Utilization(target), .. }) = spec.metrics.first().cloned() else {
            panic!("a utilization");
        };
        let mut replicas = usize::try_from(spec.minimum).unwrap();
        let mut autoscaler = Autoscaler::new(spec);
        for (step, states) in steps.iter().enumerate() {
            let states = states.iter().cycle().take(replicas).copied();
            let decision = autoscaler.step(at(step), &observe(states, at(step)));
            let decided = usize::try_from(decision.replicas).unwrap();
            match decision.proposals.first() {
                Some(Ok(proposal)) if proposal.utilization > Some(target.into()) => {
                    prop_assert!(decided >= replicas, "step {step}: {replicas} to {decided}, {decision:?}");
                }
                Some(Ok(_)) => {
                    prop_assert!(decided <= replicas, "step {step}: {replicas} to {decided}, {decision:?}");
                }
                // Nothing was measured.
                Some(Err(_)) | None => prop_assert_eq!((decided, decision.reason), (replicas, Reason::NoMetric)),
            }
            replicas = decided;
        }
    }

    #[test]
    fn no_period_sees_more_of_a_change_than_the_policies_allow(spec in any_spec(), steps in any_steps()) {
        let Behavior { up, down } = spec.behavior.clone().unwrap();
        let period = up.policies[0].period;
        let mut timeline = vec![(Duration::ZERO, spec.minimum)];
        let mut autoscaler = Autoscaler::new(spec);
        for (step, states) in steps.iter().enumerate() {
            let now = at(step);
            let current = timeline.last().unwrap().1;
            let states = states.iter().cycle().take(usize::try_from(current).unwrap()).copied();
            let decided = autoscaler.step(now, &observe(states, now)).replicas;
            let start = timeline.iter().rfind(|(moment, _)| *moment + period <= now).unwrap().1;
            let (most, least) = (bounds(&up, start, current).0, bounds(&down, start, current).1);
            prop_assert!(decided <= most.max(current), "step {step}: {current} to {decided}, from {start}");
            prop_assert!(decided >= least.min(current), "step {step}: {current} to {decided}, from {start}");
            timeline.push((now, decided));
        }
    }

    #[test]
    fn a_constant_load_comes_to_rest(
        percent in 30..=90u32,
        load in 1..40_000i64,
        range in (1..10u32, 0..40u32),
        behavior in prop::option::of((1..60u64).prop_flat_map(|period| (0..60u64, any_policy(period), any_policy(period)))),
    ) {
        let rules = |window: u64, policy: Policy| Rules {
            window: Some(Duration::from_secs(window)),
            select: Select::Max,
            policies: vec![policy],
            tolerance: None,
        };
        let spec = Spec {
            name: "any".to_owned(),
            minimum: range.0,
            maximum: range.0 + range.1,
            metrics: vec![cpu(percent)],
            behavior: behavior.map(|(window, up, down)| Behavior { up: rules(window, up), down: rules(300, down) }),
        };
        let mut replicas = spec.minimum;
        let mut autoscaler = Autoscaler::new(spec);
        let mut timeline = Vec::new();
        for step in 0..400 {
            let each = (load / i64::from(replicas)).min(LIMIT);
            let states = std::iter::repeat_n(State::Measured(each), usize::try_from(replicas).unwrap());
            replicas = autoscaler.step(at(step), &observe(states, at(step))).replicas;
            timeline.push(replicas);
        }
        prop_assert!(timeline[300..].iter().all(|later| *later == timeline[300]), "{timeline:?}");
    }
}
