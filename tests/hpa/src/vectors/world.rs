//! Pods and samples as the source's tests make them.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{NOW, ago};
use crate::{
    observation::{Container, Phase, Pod, Readiness, Sample},
    quantity::Milli,
    settings::Settings,
};

/// The flags that the source's tests set.
pub(super) fn settings() -> Settings {
    Settings {
        initialization: Duration::from_mins(2),
        readiness_delay: Duration::from_secs(10),
        growth: 8.0,
        ..Settings::default()
    }
}

/// When a pod started.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Started {
    Hot,
    Cool,
}

impl Started {
    pub(super) fn at(self) -> Duration {
        match self {
            Self::Hot => NOW,
            Self::Cool => ago(180),
        }
    }
}

/// What a case says of its pods; what it does not say is the same for all of them.
#[derive(Default, Deserialize)]
pub(super) struct Traits {
    ready: Option<Vec<bool>>,
    started: Option<Vec<Started>>,
    phases: Option<Vec<Phase>>,
    deleting: Option<Vec<bool>>,
}

/// When a pod's readiness last changed.
#[derive(Clone, Copy)]
pub(super) enum Transition {
    /// In no case said: the beginning of time.
    Unknown,
    AtStart,
}

impl Traits {
    pub(super) fn phases(&self) -> usize {
        self.phases.as_ref().map_or(0, Vec::len)
    }

    /// The pod of a number; `request` is each container's.
    pub(super) fn pod(&self, number: usize, request: Option<i64>, transition: Transition) -> Pod {
        let of = |flags: &Option<Vec<bool>>, otherwise| {
            flags.as_ref().and_then(|flags| flags.get(number)).copied().unwrap_or(otherwise)
        };
        let started = self.started.as_ref().map_or(Duration::ZERO, |started| started[number].at());
        let since = match transition {
            Transition::Unknown => Duration::ZERO,
            Transition::AtStart => started,
        };
        let container =
            |name: &str| Container { name: name.to_owned(), cpu: request.map(Milli), memory: None };
        Pod {
            name: name(number),
            phase: self.phases.as_ref().map_or(Phase::Running, |phases| phases[number]),
            deleting: of(&self.deleting, false),
            started: Some(started),
            readiness: Some(Readiness { ready: of(&self.ready, true), since }),
            containers: vec![container("container1"), container("container2")],
        }
    }
}

pub(super) fn name(number: usize) -> String {
    format!("test-pod-{number}")
}

/// Samples of the pods of these numbers, a minute wide.
pub(super) fn samples(
    values: impl IntoIterator<Item = (String, Option<i64>)>,
    at: Duration,
) -> BTreeMap<String, Sample> {
    let window = Duration::from_mins(1);
    values
        .into_iter()
        .filter_map(|(name, value)| Some((name, Sample { value: Milli(value?), at, window })))
        .collect()
}
