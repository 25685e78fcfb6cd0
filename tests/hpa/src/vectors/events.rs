//! `horizontal_test.go`, `TestStoreScaleEvents`: what is remembered of moves.

use std::time::Duration;

use serde::Deserialize;

use super::{Differences, NOW, ago, rules};
use crate::{
    autoscaler::Autoscaler,
    rate::{Event, Events},
    spec::{Behavior, Rules, Spec},
};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    past: Vec<(u32, u64)>,
    rules: Option<[u32; 4]>,
    recent: i64,
    kept: Vec<u32>,
}

impl Case {
    fn autoscaler(&self, behavior: Option<Behavior>) -> Autoscaler {
        let spec = Spec { name: self.test.clone(), minimum: 1, maximum: 100, metrics: Vec::new(), behavior };
        let mut autoscaler = Autoscaler::new(spec);
        let past = || Events(self.past.iter().map(|&(pods, at)| Event { at: ago(at), pods }).collect());
        (autoscaler.moves.added, autoscaler.moves.removed) = (past(), past());
        autoscaler
    }
}

fn pods(events: &Events) -> Vec<u32> {
    events.0.iter().map(|event| event.pods).collect()
}

#[test]
fn moves_are_remembered_as_kubernetes_says() {
    let file: File = toml::from_str(include_str!("../../vectors/events.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.case {
        let minute = Duration::from_mins(1);
        let both = |rules: Rules| Behavior { up: rules.clone(), down: rules };
        let behavior = case.rules.map(|each| both(rules(each, Some(0))));
        let mut up = case.autoscaler(behavior.clone());
        differences.compare(&case.test, &up.moves.added.within(minute, NOW), &case.recent);
        up.remember(NOW, 10, 15);
        differences.compare(&case.test, &pods(&up.moves.added), &case.kept);
        let mut down = case.autoscaler(behavior);
        differences.compare(&case.test, &down.moves.removed.within(minute, NOW), &case.recent);
        down.remember(NOW, 10, 5);
        differences.compare(&case.test, &pods(&down.moves.removed), &case.kept);
    }
    differences.none_in(file.case.len(), 8);
}
