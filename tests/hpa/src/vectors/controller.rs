//! `horizontal_test.go`: whole steps.

use serde::Deserialize;

use super::{
    Differences, NOW, rules,
    stabilization::history,
    world::{Traits, Transition, name, samples, settings},
};
use crate::{
    autoscaler::{Autoscaler, Decision, Limit, Reason, Stabilized},
    observation::{Observation, Reading},
    quantity::Milli,
    spec::{Behavior, Metric, Resource, Rules, Spec, Total, Usage},
};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    test: String,
    range: [u32; 2],
    current: u32,
    existing: Option<u32>,
    metrics: Vec<MetricOf>,
    levels: Vec<i64>,
    requests: Option<Vec<i64>>,
    #[serde(flatten)]
    traits: Traits,
    past: Option<Vec<(u32, u64)>>,
    up: Option<[u32; 5]>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricOf {
    cpu: Option<u32>,
    container: Option<String>,
    pods: Option<i64>,
    value: Option<i64>,
    average: Option<i64>,
    #[serde(default)]
    fails: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    replicas: u32,
    reason: Because,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Because {
    Disabled,
    Above,
    Below,
    NoMetric,
    Stabilized,
    Within,
    ScaleUp,
    ScaleDown,
    Maximum,
    Minimum,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Disabled => Self::Disabled,
            Reason::AboveMaximum => Self::Above,
            Reason::BelowMinimum => Self::Below,
            Reason::NoMetric => Self::NoMetric,
            Reason::Metrics { stabilized: Stabilized::Up | Stabilized::Down, .. } => Self::Stabilized,
            Reason::Metrics { limit, .. } => match limit {
                Limit::Within => Self::Within,
                Limit::ScaleUp => Self::ScaleUp,
                Limit::ScaleDown => Self::ScaleDown,
                Limit::Maximum => Self::Maximum,
                Limit::Minimum => Self::Minimum,
            },
        }
    }
}

impl MetricOf {
    fn metric(&self) -> Metric {
        let name = "qps".to_owned();
        match (self.cpu, self.pods, self.value, self.average) {
            (Some(percent), None, None, None) => Metric::Resource {
                resource: Resource::Cpu,
                container: self.container.clone(),
                target: Usage::Utilization(percent),
            },
            (None, Some(average), None, None) => Metric::Pods { name, average: Milli(average) },
            (None, None, Some(value), None) => Metric::Total { name, target: Total::Value(Milli(value)) },
            (None, None, None, Some(each)) => Metric::Total { name, target: Total::Average(Milli(each)) },
            _ => panic!("a metric of one kind"),
        }
    }

    fn reading(&self, levels: &[i64]) -> Reading {
        if self.fails {
            return Reading::Unavailable;
        }
        let divisor = if self.container.is_some() { 2 } else { 1 };
        let values =
            || levels.iter().enumerate().map(|(number, level)| (name(number), Some(level / divisor)));
        match self.metric() {
            Metric::Resource { .. } | Metric::Pods { .. } => Reading::Pods(samples(values(), NOW)),
            Metric::Total { .. } => Reading::Total(levels.iter().copied().map(Milli).collect()),
        }
    }
}

impl Case {
    fn autoscaler(&self) -> Autoscaler {
        let [minimum, maximum] = self.range;
        let behavior = self.up.map(|[pods, pods_period, percent, percent_period, window]| Behavior {
            up: rules([pods, pods_period, percent, percent_period], Some(window.into())),
            down: Rules::down(),
        });
        let metrics = self.metrics.iter().map(MetricOf::metric).collect();
        let spec = Spec { name: self.test.clone(), minimum, maximum, metrics, behavior };
        let mut autoscaler = Autoscaler::with_settings(spec, settings());
        autoscaler.history = self.past.as_deref().map(history);
        autoscaler
    }

    fn observation(&self) -> Observation {
        let existing = self.existing.unwrap_or(self.current);
        let requests = self.requests.clone().unwrap_or_else(|| vec![1_000; existing as usize]);
        let pod = |(number, request)| self.traits.pod(number, Some(request / 2), Transition::AtStart);
        Observation {
            replicas: self.current,
            existing,
            pods: requests.into_iter().enumerate().map(pod).collect(),
            readings: self.metrics.iter().map(|metric| metric.reading(&self.levels)).collect(),
        }
    }
}

#[test]
fn a_step_decides_what_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/controller.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.case {
        let Decision { replicas, reason, .. } = case.autoscaler().step(NOW, &case.observation());
        let expected = (case.expected.replicas, case.expected.reason);
        differences.compare(&case.test, &(replicas, reason.into()), &expected);
    }
    differences.none_in(file.case.len(), 77);
}
