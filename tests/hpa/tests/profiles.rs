//! What the two autoscalers of `k8s/` do in a flood.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use weir_hpa::{
    Decision, Spec,
    flood::{Assumptions, Moment, Report, Run, Share, WayDown, run, table::FLOODS},
};

const REFERENCE: &str =
    include_str!("../../../k8s/components/autoscaling-reference/horizontal-pod-autoscaler.yaml");
const FLOOD: &str = include_str!("../../../k8s/components/autoscaling-flood/horizontal-pod-autoscaler.yaml");

fn reference() -> Spec {
    Spec::parse(REFERENCE).unwrap()
}

fn flood() -> Spec {
    Spec::parse(FLOOD).unwrap()
}

/// The flood profile from as few pods as the reference has.
fn flood_from_few() -> Spec {
    Spec { minimum: reference().minimum, ..flood() }
}

fn ran(spec: &Spec, assumptions: &Assumptions, times: u64) -> (Run, Report) {
    let run = run(spec, assumptions, times).unwrap();
    let report = run.report(assumptions.capacity);
    (run, report)
}

fn report(spec: &Spec, times: u64) -> Report {
    ran(spec, &Assumptions::default(), times).1
}

/// Pods removed within any `period` after the flood, at the most, and what there was at that period's start.
fn removals(run: &Run, period: usize) -> impl Iterator<Item = (u32, u32)> {
    let quiet: Vec<u32> = run.moments.iter().skip(run.ends).map(|moment| moment.replicas).collect();
    let spans: Vec<(u32, u32)> =
        quiet.windows(period).map(|span| (span[0], span[0] - span[period - 1])).collect();
    spans.into_iter()
}

#[test]
fn the_reference_simulations_figures_come_out() {
    let table = [
        ("reference", reference(), [1_000, 1_000, 840, 138]),
        ("flood", flood(), [1_000, 1_000, 1_000, 955]),
        ("flood from 3", flood_from_few(), [1_000, 1_000, 960, 856]),
    ];
    for (name, spec, expected) in table {
        let found = FLOODS.map(|times| report(&spec, times).served);
        assert_eq!(found, expected.map(Share), "{name}");
    }
}

#[test]
fn the_flood_profile_serves_no_less_and_large_floods_far_better() {
    for (_, assumptions) in Assumptions::variations() {
        for times in FLOODS {
            let [reference, flood] =
                [reference(), flood()].map(|spec| ran(&spec, &assumptions, times).1.served);
            assert!(flood >= reference, "{times}× under {assumptions:?}: {flood} and {reference}");
            let factor = if times == 500 { 4 } else { 1 };
            assert!(
                flood.0 >= factor * reference.0,
                "{times}× under {assumptions:?}: {flood} and {reference}"
            );
        }
    }
}

#[test]
fn the_reference_never_has_enough_pods_for_five_hundred_times_the_load_and_the_flood_profile_has_in_a_minute()
{
    assert_eq!(report(&reference(), 500).enough, None);
    assert!(report(&flood(), 500).enough.is_some_and(|seconds| seconds <= 60));
    assert!(report(&flood_from_few(), 500).enough.is_some_and(|seconds| seconds <= 120));
}

#[test]
fn no_profile_flaps_in_a_flood_in_any_cluster() {
    for (name, assumptions) in Assumptions::variations() {
        for (profile, spec) in [("reference", reference()), ("flood", flood()), ("few", flood_from_few())] {
            for times in FLOODS {
                assert_eq!(ran(&spec, &assumptions, times).1.turns, 0, "{profile}, {times}×, {name}");
            }
        }
    }
}

#[test]
fn the_reference_shrinks_after_five_minutes_by_two_pods_a_minute() {
    let (run, report) = ran(&reference(), &Assumptions::default(), 500);
    assert_eq!(report.peak, 30);
    // 27 pods are 14 removals, the first after the window and each of the others a minute later.
    let way_down = WayDown { first_removed: Some(300), at_minimum: Some(300 + 13 * 60) };
    assert_eq!(report.way_down, Some(way_down));
    assert_eq!(removals(&run, 60).map(|(_, removed)| removed).max(), Some(2));
}

#[test]
fn the_flood_profile_shrinks_after_five_minutes_by_a_tenth_a_minute() {
    let (run, report) = ran(&flood(), &Assumptions::default(), 500);
    let WayDown { first_removed, at_minimum } = report.way_down.unwrap();
    assert_eq!((report.peak, first_removed), (300, Some(300)));
    assert!(at_minimum.is_some_and(|seconds| seconds <= 30 * 60), "{at_minimum:?}");
    for (start, removed) in removals(&run, 60) {
        // What is left is cut to a whole pod, so a tenth may be a pod more.
        assert!(removed * 10 <= start + 9, "{removed} of {start}");
    }
    assert!(removals(&run, 60).any(|(start, removed)| removed * 10 >= start), "a tenth is used");
}

#[test]
fn a_flood_ten_times_as_large_looks_the_same_at_first() {
    let first = |times| {
        let (run, _) = ran(&flood_from_few(), &Assumptions::default(), times);
        let replicas: Vec<u32> =
            run.moments.iter().skip(run.begins).take(75).map(|moment| moment.replicas).collect();
        replicas
    };
    assert_eq!(first(500), first(5_000));
}

#[test]
fn the_quiet_before_and_after_is_served_by_the_fewest_pods() {
    for (spec, fewest) in [(reference(), 3), (flood(), 30)] {
        let (run, _) = ran(&spec, &Assumptions::default(), 500);
        let calm =
            Moment { replicas: fewest, ready: fewest, fresh: 150, served: 150, cpu: 300 / i64::from(fewest) };
        assert_eq!(run.moments.iter().take(run.begins).find(|moment| **moment != calm), None);
        assert_eq!(run.moments.last(), Some(&calm));
    }
}

#[test]
fn a_worse_cluster_serves_no_more() {
    let served = |assumptions: &Assumptions| ran(&flood_from_few(), assumptions, 500).1.served;
    let plain = served(&Assumptions::default());
    for (name, assumptions) in Assumptions::variations() {
        // Who comes again is served later, and counts.
        let patient = Assumptions { retries: 0, ..assumptions };
        assert!(served(&patient) <= plain, "{name}");
    }
}

#[test]
fn a_run_is_the_same_each_time() {
    let (_, last) = Assumptions::variations().pop().unwrap();
    let moments = || ran(&flood(), &last, 500).0.moments;
    assert_eq!(moments(), moments());
}

#[test]
fn what_the_model_does_not_measure_is_refused_by_name() {
    let external = FLOOD.replace(
        "  metrics:\n",
        "  metrics:\n    - type: External\n      external: {metric: {name: queue}, target: {type: AverageValue, \
         averageValue: 5}}\n",
    );
    let refused = run(&Spec::parse(&external).unwrap(), &Assumptions::default(), 2).unwrap_err();
    assert_eq!(refused.metric, "queue");
}

#[test]
fn without_a_behavior_an_old_wish_can_still_grow_the_target_against_its_metrics() {
    // The controller's own rule: it grows to 4 at most, remembers that it wanted 8, and does so at the next step.
    let spec = Spec { minimum: 1, maximum: 100, behavior: None, ..reference() };
    let mut autoscaler = weir_hpa::Autoscaler::new(spec);
    let steps = [(2, 280), (4, 100)].into_iter().zip([0, 15]);
    let decided: Vec<Decision> = steps
        .map(|((replicas, percent), seconds)| {
            autoscaler.step(std::time::Duration::from_secs(seconds), &world::observation(replicas, percent))
        })
        .collect();
    let replicas: Vec<u32> = decided.iter().map(|decision| decision.replicas).collect();
    assert_eq!(replicas, [4, 8]);
}

mod world {
    use std::{collections::BTreeMap, time::Duration};

    use weir_hpa::{Container, Milli, Observation, Phase, Pod, Readiness, Reading, Sample};

    /// Pods long ready, each at so many percent of its CPU's request and none of its memory's.
    pub(crate) fn observation(replicas: u32, percent: i64) -> Observation {
        let names: Vec<String> = (0..replicas).map(|number| format!("pod-{number}")).collect();
        let pod = |name: &String| Pod {
            name: name.clone(),
            phase: Phase::Running,
            deleting: false,
            started: Some(Duration::ZERO),
            readiness: Some(Readiness { ready: true, since: Duration::ZERO }),
            containers: vec![Container {
                name: "gateway".to_owned(),
                cpu: Some(Milli(1_000)),
                memory: Some(Milli(1_000)),
            }],
        };
        let reading = |value| {
            let sample = Sample { value: Milli(value), at: Duration::from_hours(1), window: Duration::ZERO };
            Reading::Pods(names.iter().map(|name| (name.clone(), sample)).collect::<BTreeMap<_, _>>())
        };
        Observation {
            replicas,
            existing: replicas,
            pods: names.iter().map(pod).collect(),
            readings: vec![reading(percent * 10), reading(0)],
        }
    }
}
