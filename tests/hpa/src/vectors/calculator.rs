//! `replica_calculator_test.go`: what one metric asks for.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Differences, NOW,
    world::{Traits, Transition, name, samples, settings},
};
use crate::{
    observation::{Observation, Reading},
    proposal::{Proposal, Question, Tolerances},
    quantity::Milli,
    spec::{Metric, Resource, Total, Usage},
};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    test: String,
    current: u32,
    container: Option<String>,
    tolerances: Option<[f64; 2]>,
    #[serde(flatten)]
    traits: Traits,
    #[serde(flatten)]
    metric: Measured,
    expected: Option<Expected>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Measured {
    Cpu { target: u32, requests: Vec<i64>, levels: Vec<Level>, names: Option<Vec<String>> },
    Pods { average: i64, levels: Vec<i64> },
    Object(Whole),
    External(Whole),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    value: Option<i64>,
    average: Option<i64>,
    levels: Vec<i64>,
}

/// Of both containers alike, or of each.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Level {
    Alike(i64),
    Each(Vec<i64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    replicas: u32,
    utilization: Option<i64>,
    value: i64,
}

impl Level {
    /// What is measured of the pod or of the one container; nothing when a container gives nothing.
    fn of(&self, container: Option<&str>) -> Option<i64> {
        let level = |index: usize| match self {
            Self::Alike(level) => Some(*level),
            Self::Each(levels) => levels.get(index).copied(),
        };
        match container {
            None => Some(level(0)? + level(1)?),
            Some("container1") => level(0),
            Some(_) => level(1),
        }
    }
}

impl Case {
    fn metric(&self) -> (Metric, Reading) {
        match &self.metric {
            Measured::Cpu { target, levels, names, .. } => {
                let container = self.container.clone();
                let named = |number: usize| {
                    names
                        .as_ref()
                        .and_then(|names| names.get(number).cloned())
                        .unwrap_or_else(|| name(number))
                };
                let values = levels.iter().enumerate();
                let values = values.map(|(number, level)| (named(number), level.of(container.as_deref())));
                let reading = Reading::Pods(samples(values, Duration::ZERO));
                let target = Usage::Utilization(*target);
                (Metric::Resource { resource: Resource::Cpu, container, target }, reading)
            }
            Measured::Pods { average, levels } => {
                let values = levels.iter().enumerate().map(|(number, level)| (name(number), Some(*level)));
                let reading = Reading::Pods(samples(values, Duration::ZERO));
                (Metric::Pods { name: "qps".to_owned(), average: Milli(*average) }, reading)
            }
            Measured::Object(whole) | Measured::External(whole) => {
                let target = match (whole.value, whole.average) {
                    (Some(value), None) => Total::Value(Milli(value)),
                    (None, Some(average)) => Total::Average(Milli(average)),
                    _ => panic!("{}: a value or an average", self.test),
                };
                let reading = Reading::Total(whole.levels.iter().copied().map(Milli).collect());
                (Metric::Total { name: "qps".to_owned(), target }, reading)
            }
        }
    }

    fn observation(&self) -> Observation {
        let requests = match &self.metric {
            Measured::Cpu { requests, .. } => requests.as_slice(),
            _ => &[],
        };
        let count = self.traits.phases().max(self.current as usize);
        let pod = |number| self.traits.pod(number, requests.get(number).copied(), Transition::Unknown);
        Observation {
            replicas: self.current,
            existing: self.current,
            pods: (0..count).map(pod).collect(),
            readings: Vec::new(),
        }
    }
}

#[test]
fn each_metric_asks_for_what_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/calculator.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.case {
        let [down, up] = case.tolerances.unwrap_or([0.1, 0.1]);
        let (settings, observation) = (&settings(), &case.observation());
        let question = Question { observation, settings, tolerances: Tolerances { up, down }, now: NOW };
        let (metric, reading) = case.metric();
        let found = question.ask(&metric, &reading);
        match (&case.expected, &case.error) {
            (Some(expected), None) => {
                let expected = Proposal {
                    replicas: expected.replicas,
                    utilization: expected.utilization,
                    value: Milli(expected.value),
                };
                differences.compare(&case.test, &found, &Ok(expected));
            }
            (None, Some(error)) => {
                let told = found.as_ref().is_err_and(|fault| fault.to_string().contains(error));
                differences.compare(&case.test, &(told, &found), &(true, &found));
            }
            _ => panic!("{}: a result or an error", case.test),
        }
    }
    differences.none_in(file.case.len(), 76);
}
