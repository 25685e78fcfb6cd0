//! The published cases of Kubernetes' own tests, from `vectors/`, whose README names the source of each file.

mod behavior;
mod calculator;
mod controller;
mod events;
mod groups;
mod ratios;
mod stabilization;
mod world;

use std::{fmt::Debug, time::Duration};

use crate::spec::{Change, Policy, Rules, Select};

/// The step's own time; the cases tell theirs in seconds before it.
const NOW: Duration = Duration::from_hours(3);

fn ago(seconds: u64) -> Duration {
    NOW.checked_sub(Duration::from_secs(seconds)).unwrap()
}

/// Gathers what differs, so that one run tells every case that fails.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Debug>(&mut self, test: &str, found: &T, expected: &T) {
        if found != expected {
            self.0.push(format!("{test}: {found:?}, expected {expected:?}"));
        }
    }

    #[track_caller]
    fn none_in(self, cases: usize, expected: usize) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        assert_eq!(cases, expected, "cases of the file");
    }
}

/// As the source's tests make them: pods, in so many seconds, percent, in so many seconds; Max of both.
fn rules([pods, pods_period, percent, percent_period]: [u32; 4], window: Option<u64>) -> Rules {
    let policy = |change, period: u32| Policy { change, period: Duration::from_secs(period.into()) };
    let mut policies = Vec::new();
    if pods != 0 {
        policies.push(policy(Change::Pods(pods), pods_period));
    }
    if percent != 0 {
        policies.push(policy(Change::Percent(percent), percent_period));
    }
    Rules { window: window.map(Duration::from_secs), select: Select::Max, policies, tolerance: None }
}
