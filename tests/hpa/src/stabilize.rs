//! Stabilisation: of the recommendations of a recent time, the one that moves least holds.
//!
//! Kept is what the metrics asked for, not what was done, so one quiet moment does not undo a window. An entry too
//! old for every window is written over, at most one in a step.

use std::time::Duration;

/// What the metrics have asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    recommendations: Vec<Recommendation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recommendation {
    pub(crate) at: Duration,
    pub(crate) replicas: u32,
}

/// How far back to look, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) up: Duration,
    pub(crate) down: Duration,
}

impl History {
    #[cfg(test)]
    pub(crate) const fn from_recommendations(recommendations: Vec<Recommendation>) -> Self {
        Self { recommendations }
    }

    #[cfg(test)]
    pub(crate) fn recommendations(&self) -> &[Recommendation] {
        &self.recommendations
    }

    pub(crate) fn starting_with(recommendation: Recommendation) -> Self {
        Self { recommendations: vec![recommendation] }
    }

    /// With a `behavior`: `current`, moved no further than what every recommendation of each window agrees on.
    pub(crate) fn stabilize(&mut self, current: u32, desired: Recommendation, windows: Windows) -> u32 {
        let now = desired.at;
        let age = |recommendation: &Recommendation| now.saturating_sub(recommendation.at);
        let (mut up, mut down, mut stale) = (desired.replicas, desired.replicas, None);
        for (index, recommendation) in self.recommendations.iter().enumerate() {
            let age = age(recommendation);
            if age < windows.up {
                up = up.min(recommendation.replicas);
            }
            if age < windows.down {
                down = down.max(recommendation.replicas);
            }
            if age > windows.up && age > windows.down {
                stale = Some(index);
            }
        }
        self.record(desired, stale);
        current.max(up).min(down)
    }

    /// Without a `behavior`: what is desired, or the most that was within the window. One of the window's very age
    /// still counts.
    pub(crate) fn stabilize_down(&mut self, desired: Recommendation, window: Duration) -> u32 {
        let (mut most, mut stale) = (desired.replicas, None);
        for (index, recommendation) in self.recommendations.iter().enumerate() {
            if desired.at.saturating_sub(recommendation.at) > window {
                stale = Some(index);
            } else {
                most = most.max(recommendation.replicas);
            }
        }
        self.record(desired, stale);
        most
    }

    fn record(&mut self, recommendation: Recommendation, stale: Option<usize>) {
        match stale.and_then(|index| self.recommendations.get_mut(index)) {
            Some(old) => *old = recommendation,
            None => self.recommendations.push(recommendation),
        }
    }
}
