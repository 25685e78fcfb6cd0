//! The autoscaler: a step at a time, each with its reason.
//!
//! A step asks every metric and takes the most any of them wants; a metric that fails can hold a scale-down back,
//! never a scale-up. Then what is wanted is stabilised, and bounded by the rate and by the range, in this order.
//! The reasons are those of the conditions that `kubectl describe hpa` shows.

use std::{fmt, time::Duration};

use crate::{
    observation::{Observation, Reading},
    proposal::{Fault, Proposal, Question, Tolerances},
    rate::{Event, Moves},
    settings::Settings,
    spec::{Behavior, Spec},
    stabilize::{History, Recommendation, Windows},
};

/// A `HorizontalPodAutoscaler` and what it remembers.
///
/// ```
/// use std::time::Duration;
/// use weir_hpa::{Autoscaler, Milli, Observation, Reading, Spec};
///
/// let spec = Spec::parse(
///     "apiVersion: autoscaling/v2
/// kind: HorizontalPodAutoscaler
/// metadata: {name: gateway}
/// spec:
///   scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: gateway}
///   maxReplicas: 9
///   metrics:
///     - type: External
///       external: {metric: {name: queue}, target: {type: AverageValue, averageValue: 10}}
/// ",
/// )?;
/// let mut autoscaler = Autoscaler::new(spec);
/// // Two pods share a queue of 35: it takes four to have ten each or fewer.
/// let readings = vec![Reading::Total(vec![Milli(35_000)])];
/// let observation = Observation { replicas: 2, existing: 2, pods: Vec::new(), readings };
/// let decision = autoscaler.step(Duration::ZERO, &observation);
/// assert_eq!(decision.replicas, 4);
/// assert_eq!(decision.reason.to_string(), "the metrics ask for 4");
/// # Ok::<(), weir_hpa::Invalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct Autoscaler {
    spec: Spec,
    settings: Settings,
    /// `None` before the first step.
    pub(crate) history: Option<History>,
    pub(crate) moves: Moves,
}

/// What a step decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the target is to have.
    pub replicas: u32,
    pub reason: Reason,
    /// What each metric asked for, in the spec's order; empty where none was asked.
    pub proposals: Vec<Result<Proposal, Fault>>,
}

/// Why it is so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The target has been set to zero by hand: it is left alone.
    Disabled,
    /// There were more than the maximum.
    AboveMaximum,
    /// There were fewer than the minimum.
    BelowMinimum,
    /// Every metric failed, or one did and the others would scale down.
    NoMetric,
    /// The metrics `desired` so many; what came between that and the result.
    Metrics { desired: u32, stabilized: Stabilized, limit: Limit },
}

/// Whether the past holds a step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stabilized {
    No,
    /// Recent recommendations were lower.
    Up,
    /// Recent recommendations were higher.
    Down,
}

/// What bounds a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    Within,
    /// A policy of `scaleUp`, or without a `behavior` the controller's own.
    ScaleUp,
    /// A policy of `scaleDown`.
    ScaleDown,
    /// `maxReplicas`.
    Maximum,
    /// `minReplicas`.
    Minimum,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("the target has been set to zero by hand"),
            Self::AboveMaximum => f.write_str("there were more than maxReplicas"),
            Self::BelowMinimum => f.write_str("there were fewer than minReplicas"),
            Self::NoMetric => f.write_str("no metric could be used"),
            Self::Metrics { desired, stabilized, limit } => {
                write!(f, "the metrics ask for {desired}")?;
                f.write_str(match stabilized {
                    Stabilized::No => "",
                    Stabilized::Up => ", recently for fewer",
                    Stabilized::Down => ", recently for more",
                })?;
                f.write_str(match limit {
                    Limit::Within => "",
                    Limit::ScaleUp => ", and growth is limited",
                    Limit::ScaleDown => ", and shrinking is limited",
                    Limit::Maximum => ", and maxReplicas is reached",
                    Limit::Minimum => ", and minReplicas is reached",
                })
            }
        }
    }
}

/// Wanted, what there is, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) current: u32,
    pub(crate) desired: u32,
    pub(crate) now: Duration,
}

impl Autoscaler {
    /// Under a controller with Kubernetes' default flags.
    pub fn new(spec: Spec) -> Self {
        Self::with_settings(spec, Settings::default())
    }

    pub fn with_settings(spec: Spec, settings: Settings) -> Self {
        Self { spec, settings, history: None, moves: Moves::default() }
    }

    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One sync. `now` never goes back, and its origin is that of the times observed.
    pub fn step(&mut self, now: Duration, observation: &Observation) -> Decision {
        let current = observation.replicas;
        let start = Recommendation { at: now, replicas: current };
        self.history.get_or_insert_with(|| History::starting_with(start));
        let Spec { minimum, maximum, .. } = self.spec;
        let decision = if current == 0 && minimum != 0 {
            Decision { replicas: 0, reason: Reason::Disabled, proposals: Vec::new() }
        } else if current > maximum {
            Decision { replicas: maximum, reason: Reason::AboveMaximum, proposals: Vec::new() }
        } else if current < minimum {
            Decision { replicas: minimum, reason: Reason::BelowMinimum, proposals: Vec::new() }
        } else {
            self.measure(now, observation)
        };
        self.remember(now, current, decision.replicas);
        decision
    }

    /// Within the range it is the metrics that decide.
    fn measure(&mut self, now: Duration, observation: &Observation) -> Decision {
        let current = observation.replicas;
        let proposals = self.ask(now, observation);
        let most = proposals.iter().flatten().map(|proposal| proposal.replicas).max();
        let failed = proposals.iter().any(Result::is_err);
        let Some(desired) = most.filter(|most| !failed || *most >= current) else {
            return Decision { replicas: current, reason: Reason::NoMetric, proposals };
        };
        let (stabilized, limited) = self.normalize(Want { current, desired, now });
        let (replicas, limit) = limited;
        Decision { replicas, reason: Reason::Metrics { desired, stabilized, limit }, proposals }
    }

    fn ask(&self, now: Duration, observation: &Observation) -> Vec<Result<Proposal, Fault>> {
        let tolerances = Tolerances::of(&self.spec, &self.settings);
        let question = Question { observation, settings: &self.settings, tolerances, now };
        let readings = observation.readings.iter().chain(std::iter::repeat(&Reading::Unavailable));
        self.spec
            .metrics
            .iter()
            .zip(readings)
            .map(|(metric, reading)| question.ask(metric, reading))
            .collect()
    }

    fn normalize(&mut self, want: Want) -> (Stabilized, (u32, Limit)) {
        let Want { current, desired, now } = want;
        let recommendation = Recommendation { at: now, replicas: desired };
        let history = self.history.get_or_insert_default();
        let Some(behavior) = &self.spec.behavior else {
            let steady = history.stabilize_down(recommendation, self.settings.downscale_window);
            let stabilized = if steady == desired { Stabilized::No } else { Stabilized::Down };
            return (
                stabilized,
                limit_without_behavior(&self.spec, &self.settings, Want { desired: steady, ..want }),
            );
        };
        let windows = windows_of(behavior, &self.settings);
        let steady = history.stabilize(current, recommendation, windows);
        let stabilized = if steady == desired {
            Stabilized::No
        } else if desired >= current {
            Stabilized::Up
        } else {
            Stabilized::Down
        };
        (stabilized, limit(&self.spec, behavior, &self.moves, Want { desired: steady, ..want }))
    }

    /// A move counts against the rates; without a `behavior` there are none.
    pub(crate) fn remember(&mut self, now: Duration, before: u32, after: u32) {
        let Some(behavior) = &self.spec.behavior else { return };
        let event = Event { at: now, pods: after.abs_diff(before) };
        if after > before {
            self.moves.added.store(event, &behavior.up);
        } else if after < before {
            self.moves.removed.store(event, &behavior.down);
        }
    }
}

fn windows_of(behavior: &Behavior, settings: &Settings) -> Windows {
    Windows {
        up: behavior.up.window.unwrap_or_default(),
        down: behavior.down.window.unwrap_or(settings.downscale_window),
    }
}

/// What the rates and the range allow.
pub(crate) fn limit(spec: &Spec, behavior: &Behavior, moves: &Moves, want: Want) -> (u32, Limit) {
    let Want { current, desired, now } = want;
    if desired > current {
        let ceiling = moves.ceiling(current, &behavior.up, now);
        let (most, limit) =
            if spec.maximum > ceiling { (ceiling, Limit::ScaleUp) } else { (spec.maximum, Limit::Maximum) };
        if desired > most {
            return (most, limit);
        }
    } else if desired < current {
        let floor = moves.floor(current, &behavior.down, now);
        let (least, limit) =
            if spec.minimum < floor { (floor, Limit::ScaleDown) } else { (spec.minimum, Limit::Minimum) };
        if desired < least {
            return (least, limit);
        }
    }
    (desired, Limit::Within)
}

/// The controller's own rule: up by a factor or to four, down at once.
pub(crate) fn limit_without_behavior(spec: &Spec, settings: &Settings, want: Want) -> (u32, Limit) {
    let growth = (settings.growth * f64::from(want.current)).max(4.0);
    let (most, limit) = if f64::from(spec.maximum) > growth {
        (whole(growth), Limit::ScaleUp)
    } else {
        (spec.maximum, Limit::Maximum)
    };
    if want.desired < spec.minimum {
        (spec.minimum, Limit::Minimum)
    } else if want.desired > most {
        (most, limit)
    } else {
        (want.desired, Limit::Within)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below maxReplicas")]
fn whole(growth: f64) -> u32 {
    growth as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_was_asked_for_and_what_came_between() {
        let metrics = |stabilized, limit| Reason::Metrics { desired: 9, stabilized, limit };
        let table = [
            (Reason::NoMetric, "no metric could be used"),
            (metrics(Stabilized::No, Limit::Within), "the metrics ask for 9"),
            (metrics(Stabilized::Up, Limit::Within), "the metrics ask for 9, recently for fewer"),
            (metrics(Stabilized::No, Limit::ScaleUp), "the metrics ask for 9, and growth is limited"),
            (
                metrics(Stabilized::Down, Limit::Minimum),
                "the metrics ask for 9, recently for more, and minReplicas is reached",
            ),
        ];
        for (reason, text) in table {
            assert_eq!(reason.to_string(), text);
        }
    }
}
