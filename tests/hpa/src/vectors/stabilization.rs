//! `horizontal_test.go`: what the past allows.

use std::time::Duration;

use serde::Deserialize;

use super::{Differences, NOW, ago};
use crate::stabilize::{History, Recommendation, Windows};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    down: Vec<Down>,
    both: Vec<Both>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Down {
    test: String,
    past: Vec<(u32, u64)>,
    desired: u32,
    expected: ExpectedDown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedDown {
    replicas: u32,
    length: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Both {
    test: String,
    past: Vec<(u32, u64)>,
    current: u32,
    desired: u32,
    windows: [u64; 2],
    expected: ExpectedBoth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedBoth {
    replicas: u32,
    kept: Option<Vec<u32>>,
}

pub(super) fn history(past: &[(u32, u64)]) -> History {
    let recommendations = past.iter().map(|&(replicas, at)| Recommendation { at: ago(at), replicas });
    History::from_recommendations(recommendations.collect())
}

fn kept(history: &History) -> Vec<u32> {
    history.recommendations().iter().map(|recommendation| recommendation.replicas).collect()
}

#[test]
fn the_past_allows_what_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/stabilization.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.down {
        let mut history = history(&case.past);
        let desired = Recommendation { at: NOW, replicas: case.desired };
        let found = history.stabilize_down(desired, Duration::from_mins(5));
        differences.compare(
            &case.test,
            &(found, kept(&history).len()),
            &(case.expected.replicas, case.expected.length),
        );
    }
    for case in &file.both {
        let mut history = history(&case.past);
        let desired = Recommendation { at: NOW, replicas: case.desired };
        let [up, down] = case.windows.map(Duration::from_secs);
        let found = history.stabilize(case.current, desired, Windows { up, down });
        differences.compare(&case.test, &found, &case.expected.replicas);
        if let Some(expected) = &case.expected.kept {
            differences.compare(&case.test, &kept(&history), expected);
        }
    }
    differences.none_in(file.down.len() + file.both.len(), 16);
}
