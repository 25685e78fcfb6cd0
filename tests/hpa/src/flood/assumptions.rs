//! All that the model takes for granted, in one place.

use std::time::Duration;

use crate::quantity::Milli;

/// What a run takes for granted. The default is the plain case; see the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumptions {
    /// Requests a second before and after the flood.
    pub base: u64,
    /// Quiet before the flood, so that its first step has a history.
    pub before: Duration,
    /// How long the flood lasts; it is there at once and gone at once.
    pub length: Duration,
    /// Quiet after the flood, to see the pods go.
    pub after: Duration,

    /// Requests a second that a pod serves at its CPU limit; it refuses any more.
    pub capacity: u64,
    /// As the Deployment requests it. The limit divided by this is the most that utilization can show.
    pub cpu_request: Milli,
    /// As the Deployment limits it.
    pub cpu_limit: Milli,
    /// As the Deployment requests it, in thousandths of a byte.
    pub memory_request: Milli,
    /// What a pod uses of it, whatever the load, in thousandths of a byte.
    pub memory_used: Milli,
    /// From the pod's creation to its running process. Until it is ready it uses no CPU.
    pub start: Duration,
    /// From there to its first passed readiness probe.
    pub probe: Duration,

    /// Pods that fit on the nodes that are there.
    pub room: u32,
    /// A pod beyond that waits so long for a node, which then stays.
    pub node: Duration,

    /// From a pod's readiness to its first sample.
    pub first_sample: Duration,
    /// How old a sample is when the autoscaler reads it.
    pub age: Duration,
    /// The time that a sample is the mean of; zero is the last second.
    pub window: Duration,

    /// Percent of the refused requests that come again, each time.
    pub retries: u32,
    /// How long after the refusal.
    pub backoff: Duration,
}

/// The figures of the reference simulation: new pods are measured 30 s late, everything else is at its best.
impl Default for Assumptions {
    fn default() -> Self {
        Self {
            base: 150,
            before: Duration::from_mins(10),
            length: Duration::from_mins(10),
            after: Duration::from_hours(1),
            capacity: 500,
            cpu_request: Milli(250),
            cpu_limit: Milli(1_000),
            memory_request: Milli(512 * MEBIBYTE),
            memory_used: Milli(64 * MEBIBYTE),
            start: Duration::from_secs(15),
            probe: Duration::ZERO,
            room: u32::MAX,
            node: Duration::ZERO,
            first_sample: Duration::from_secs(30),
            age: Duration::ZERO,
            window: Duration::ZERO,
            retries: 0,
            backoff: Duration::from_secs(5),
        }
    }
}

const MEBIBYTE: i64 = 1_000 << 20;

impl Assumptions {
    /// The plain case, and each way in which a cluster is worse, alone and at last together.
    pub fn variations() -> Vec<(&'static str, Self)> {
        let plain = Self::default;
        let probed = |assumptions| Self { probe: Duration::from_secs(10), ..assumptions };
        let averaged = |assumptions| Self { window: Duration::from_secs(30), ..assumptions };
        let aged = |assumptions| Self { age: Duration::from_secs(30), ..assumptions };
        let crowded = |assumptions| Self { room: 60, node: Duration::from_secs(90), ..assumptions };
        let insistent = |assumptions| Self { retries: 50, ..assumptions };
        vec![
            ("as above", plain()),
            ("a probe that passes 10 s after the start", probed(plain())),
            ("samples that are the mean of 30 s", averaged(plain())),
            ("samples 30 s old", aged(plain())),
            ("samples 60 s old", Self { age: Duration::from_mins(1), ..plain() }),
            ("room for 60 pods, a node for more after 90 s", crowded(plain())),
            ("half of the refused come again after 5 s", insistent(plain())),
            ("all of it, samples 30 s old", insistent(crowded(aged(averaged(probed(plain())))))),
        ]
    }
}
