//! `horizontal_test.go`: what the rates and the range allow.

use serde::Deserialize;

use super::{Differences, NOW, ago, rules, world::settings};
use crate::{
    autoscaler::{Limit, Want, limit, limit_without_behavior},
    rate::{Event, Events, Moves},
    spec::{Behavior, Rules, Select, Spec},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rate: Vec<Case>,
    plain: Vec<Case>,
    mildest: Vec<Mildest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    range: [u32; 2],
    up: Option<[u32; 4]>,
    down: Option<[u32; 4]>,
    #[serde(default)]
    added: Vec<u32>,
    #[serde(default)]
    removed: Vec<u32>,
    current: u32,
    desired: u32,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    replicas: u32,
    limit: Limited,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Limited {
    Within,
    ScaleUp,
    ScaleDown,
    Maximum,
    Minimum,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mildest {
    test: String,
    current: u32,
    up: Option<[u32; 4]>,
    down: Option<[u32; 4]>,
    expected: u32,
}

impl From<Limited> for Limit {
    fn from(limited: Limited) -> Self {
        match limited {
            Limited::Within => Self::Within,
            Limited::ScaleUp => Self::ScaleUp,
            Limited::ScaleDown => Self::ScaleDown,
            Limited::Maximum => Self::Maximum,
            Limited::Minimum => Self::Minimum,
        }
    }
}

impl Case {
    fn spec(&self) -> Spec {
        let [minimum, maximum] = self.range;
        Spec { name: self.test.clone(), minimum, maximum, metrics: Vec::new(), behavior: None }
    }

    const fn want(&self) -> Want {
        Want { current: self.current, desired: self.desired, now: NOW }
    }
}

/// Moves of the last two minutes, each in the middle of its share of them, as the source spreads them.
fn spread(pods: &[u32]) -> Events {
    let count = u64::try_from(pods.len()).unwrap();
    let at = |index: u64| ago((240 * count - 240 * (index + 1) + 120) / (2 * count));
    Events((0..).zip(pods).map(|(index, &pods)| Event { at: at(index), pods }).collect())
}

#[test]
fn rates_and_range_allow_what_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/behavior.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.rate {
        let behavior = Behavior {
            up: case.up.map_or_else(Rules::up, |up| rules(up, Some(0))),
            down: case.down.map_or_else(Rules::down, |down| rules(down, Some(300))),
        };
        let moves = Moves { added: spread(&case.added), removed: spread(&case.removed) };
        let found = limit(&case.spec(), &behavior, &moves, case.want());
        differences.compare(&case.test, &found, &(case.expected.replicas, case.expected.limit.into()));
    }
    for case in &file.plain {
        let found = limit_without_behavior(&case.spec(), &settings(), case.want());
        differences.compare(&case.test, &found, &(case.expected.replicas, case.expected.limit.into()));
    }
    for case in &file.mildest {
        let mildest = |policies| Rules { select: Select::Min, ..rules(policies, Some(300)) };
        let found = match (case.up, case.down) {
            (Some(up), None) => Moves::default().ceiling(case.current, &mildest(up), NOW),
            (None, Some(down)) => Moves::default().floor(case.current, &mildest(down), NOW),
            _ => panic!("{}: one way", case.test),
        };
        differences.compare(&case.test, &found, &case.expected);
    }
    differences.none_in(file.rate.len() + file.plain.len() + file.mildest.len(), 49);
}

#[test]
fn moves_are_spread_as_the_source_spreads_them() {
    let ages = |events: &Events| -> Vec<u64> {
        events.0.iter().map(|event| NOW.abs_diff(event.at).as_secs()).collect()
    };
    assert_eq!(ages(&spread(&[1, 5, 9])), [100, 60, 20]);
    assert_eq!(ages(&spread(&[8, 12, 9, 11])), [105, 75, 45, 15]);
    assert_eq!(ages(&spread(&[4])), [60]);
}
