//! What a step is told: the target's replicas, its pods, and a reading for each metric.
//!
//! Times are durations since an origin of the caller's choice, the same one as the step's `now`.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::{quantity::Milli, spec::Resource};

/// The world at one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// `spec.replicas` of the target: what was last asked for.
    pub replicas: u32,
    /// `status.replicas` of the target: what there is of it.
    pub existing: u32,
    /// Those that the target's selector finds.
    pub pods: Vec<Pod>,
    /// One for each metric of the spec, in its order.
    pub readings: Vec<Reading>,
}

/// A pod, as far as an autoscaler cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub phase: Phase,
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// `status.startTime`.
    pub started: Option<Duration>,
    /// Its Ready condition.
    pub readiness: Option<Readiness>,
    pub containers: Vec<Container>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// A pod's Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    /// Of the last transition.
    pub since: Duration,
}

/// A container's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub cpu: Option<Milli>,
    pub memory: Option<Milli>,
}

/// What was measured for one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// By pod: for [`Metric::Resource`](crate::Metric::Resource) what it or the one container uses, for
    /// [`Metric::Pods`](crate::Metric::Pods) its number.
    Pods(BTreeMap<String, Sample>),
    /// For [`Metric::Total`](crate::Metric::Total): the values found, which are summed.
    Total(Vec<Milli>),
    /// The metrics API gave no answer.
    Unavailable,
}

/// A pod's measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub value: Milli,
    /// When it was taken.
    pub at: Duration,
    /// The time up to then that it is the mean of.
    pub window: Duration,
}

impl Pod {
    /// Running and ready, deleted or not: what the controller counts as ready where it measures no pods.
    pub(crate) fn is_serving(&self) -> bool {
        self.phase == Phase::Running && self.readiness.is_some_and(|readiness| readiness.ready)
    }
}

impl Container {
    pub(crate) const fn request(&self, resource: Resource) -> Option<Milli> {
        match resource {
            Resource::Cpu => self.cpu,
            Resource::Memory => self.memory,
        }
    }
}
