//! Which pods count: ready, unready, missing or ignored.
//!
//! A pod that starts burns CPU that says nothing of the load, and one without a sample says nothing at all. Both
//! are held against a move rather than left out, so they are told apart from the pods that are measured.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    observation::{Phase, Pod, Sample},
    settings::Settings,
    spec::Resource,
};

/// The pods by what is known of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups<'a> {
    pub(crate) ready: u32,
    /// Not started, or their CPU is of their start.
    pub(crate) unready: BTreeSet<&'a str>,
    /// Without a sample.
    pub(crate) missing: BTreeSet<&'a str>,
    /// Failed, or being deleted.
    pub(crate) ignored: BTreeSet<&'a str>,
}

impl<'a> Groups<'a> {
    /// `resource` is `None` where a metric is not a resource: then readiness is not asked for.
    pub(crate) fn of(
        pods: &'a [Pod],
        samples: &BTreeMap<String, Sample>,
        resource: Option<Resource>,
        settings: &Settings,
        now: Duration,
    ) -> Self {
        let mut groups = Self::default();
        for pod in pods {
            let name = pod.name.as_str();
            if pod.deleting || pod.phase == Phase::Failed {
                groups.ignored.insert(name);
            } else if pod.phase == Phase::Pending {
                groups.unready.insert(name);
            } else if let Some(sample) = samples.get(name) {
                if resource == Some(Resource::Cpu) && is_of_its_start(pod, sample, settings, now) {
                    groups.unready.insert(name);
                } else {
                    groups.ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        groups
    }
}

/// Whether a pod's CPU is of its start and not of the load.
fn is_of_its_start(pod: &Pod, sample: &Sample, settings: &Settings, now: Duration) -> bool {
    let (Some(started), Some(readiness)) = (pod.started, pod.readiness) else { return true };
    if started + settings.initialization > now {
        !readiness.ready || sample.at < readiness.since + sample.window
    } else {
        // It has never been ready.
        !readiness.ready && started + settings.readiness_delay > readiness.since
    }
}
