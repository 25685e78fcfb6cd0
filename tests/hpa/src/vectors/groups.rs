//! `replica_calculator_test.go`, `TestGroupPods`: which pods count.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;

use super::{Differences, NOW, ago, world::settings};
use crate::{
    group::Groups,
    observation::{Phase, Pod, Readiness, Sample},
    quantity::Milli,
    spec::Resource,
};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    resource: String,
    pods: Vec<PodOf>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PodOf {
    name: String,
    phase: Option<Phase>,
    #[serde(default)]
    deleting: bool,
    started: Option<u64>,
    ready: Option<Ready>,
    sample: Option<SampleOf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    is: bool,
    since: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleOf {
    ago: Option<u64>,
    window: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    ready: u32,
    #[serde(default)]
    unready: BTreeSet<String>,
    #[serde(default)]
    missing: BTreeSet<String>,
    #[serde(default)]
    ignored: BTreeSet<String>,
}

impl PodOf {
    fn pod(&self) -> Pod {
        Pod {
            name: self.name.clone(),
            phase: self.phase.unwrap_or(Phase::Succeeded),
            deleting: self.deleting,
            started: self.started.map(ago),
            readiness: self
                .ready
                .as_ref()
                .map(|ready| Readiness { ready: ready.is, since: ago(ready.since) }),
            containers: Vec::new(),
        }
    }

    fn sample(&self) -> Option<(String, Sample)> {
        let SampleOf { ago: at, window } = self.sample.as_ref()?;
        let at = at.map_or(Duration::ZERO, ago);
        Some((self.name.clone(), Sample { value: Milli(1), at, window: Duration::from_secs(*window) }))
    }
}

#[test]
fn pods_are_grouped_as_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/groups.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.case {
        let resource = match case.resource.as_str() {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            other => panic!("{}: {other}", case.test),
        };
        let pods: Vec<Pod> = case.pods.iter().map(PodOf::pod).collect();
        let samples: BTreeMap<String, Sample> = case.pods.iter().filter_map(PodOf::sample).collect();
        let found = Groups::of(&pods, &samples, Some(resource), &settings(), NOW);
        let told = |names: &BTreeSet<&str>| names.iter().map(|&name| name.to_owned()).collect();
        let told = Expected {
            ready: found.ready,
            unready: told(&found.unready),
            missing: told(&found.missing),
            ignored: told(&found.ignored),
        };
        differences.compare(&case.test, &told, &case.expected);
    }
    differences.none_in(file.case.len(), 14);
}
