//! How many replicas one metric asks for.
//!
//! The rule is `replicas × measured ÷ target`, and everything else here is caution: a small difference is no
//! reason to move, pods without a sample are assumed to be what speaks against the move, and where that turns the
//! move round there is none. Utilization is cut to whole percents before it is compared, as Kubernetes does.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    group::Groups,
    observation::{Observation, Pod, Reading, Sample},
    quantity::Milli,
    settings::Settings,
    spec::{Metric, Resource, Spec, Total, Usage},
};

/// What one metric asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub replicas: u32,
    /// Whole percent of the request, where the target is a utilization.
    pub utilization: Option<i64>,
    /// The mean over the pods, or the whole of a [`Total::Value`].
    pub value: Milli,
}

/// Why a metric asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The metrics API gave no answer, or one without a value.
    Unavailable,
    /// The reading is not of the metric's kind.
    Mismatched,
    /// The selector finds no pod.
    NoPods,
    /// There are samples, and none is of a pod that counts.
    NoneCounts,
    /// Not one sample is of a pod that is known.
    NoneKnown,
    /// A utilization has nothing to be a percentage of.
    NoRequest { pod: String, container: String },
    /// The pod has no container of that name.
    NoContainer { pod: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("no metrics returned"),
            Self::Mismatched => f.write_str("the reading is not of the metric's kind"),
            Self::NoPods => f.write_str("no pods returned by selector"),
            Self::NoneCounts => f.write_str("no metrics for targeted pods (pods might be unready)"),
            Self::NoneKnown => f.write_str("no metrics returned matched known pods"),
            Self::NoRequest { pod, container } => {
                write!(f, "missing request in container {container} of {pod}")
            }
            Self::NoContainer { pod } => write!(f, "{pod} has no container of that name"),
        }
    }
}

/// How far from 1 a ratio may be without a move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tolerances {
    pub(crate) up: f64,
    pub(crate) down: f64,
}

impl Tolerances {
    pub(crate) fn of(spec: &Spec, settings: &Settings) -> Self {
        let behavior = spec.behavior.as_ref();
        Self {
            up: behavior.and_then(|behavior| behavior.up.tolerance).unwrap_or(settings.tolerance),
            down: behavior.and_then(|behavior| behavior.down.tolerance).unwrap_or(settings.tolerance),
        }
    }

    fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// One step's question, put to each metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) observation: &'a Observation,
    pub(crate) settings: &'a Settings,
    pub(crate) tolerances: Tolerances,
    pub(crate) now: Duration,
}

impl Question<'_> {
    pub(crate) fn ask(self, metric: &Metric, reading: &Reading) -> Result<Proposal, Fault> {
        match (metric, reading) {
            (_, Reading::Unavailable) => Err(Fault::Unavailable),
            (Metric::Resource { resource, container, target }, Reading::Pods(samples)) => {
                let gauge = match target {
                    Usage::Utilization(percent) => Gauge::Utilization {
                        requests: requests(&self.observation.pods, *resource, container.as_deref()),
                        percent: *percent,
                    },
                    Usage::Average(milli) => Gauge::Average(*milli),
                };
                self.per_pod(samples, &gauge, Some(*resource))
            }
            (Metric::Pods { average, .. }, Reading::Pods(samples)) => {
                self.per_pod(samples, &Gauge::Average(*average), None)
            }
            (Metric::Total { target, .. }, Reading::Total(values)) => self.total(values, *target),
            (Metric::Resource { .. } | Metric::Pods { .. }, Reading::Total(_))
            | (Metric::Total { .. }, Reading::Pods(_)) => Err(Fault::Mismatched),
        }
    }

    /// What the pods' own values ask for.
    fn per_pod(
        self,
        samples: &BTreeMap<String, Sample>,
        gauge: &Gauge<'_>,
        resource: Option<Resource>,
    ) -> Result<Proposal, Fault> {
        let Observation { replicas: current, pods, .. } = self.observation;
        if samples.is_empty() {
            return Err(Fault::Unavailable);
        }
        if pods.is_empty() {
            return Err(Fault::NoPods);
        }
        let groups = Groups::of(pods, samples, resource, self.settings, self.now);
        let mut values: BTreeMap<&str, i64> = samples
            .iter()
            .map(|(pod, sample)| (pod.as_str(), sample.value.0))
            .filter(|(pod, _)| !groups.ignored.contains(pod) && !groups.unready.contains(pod))
            .collect();
        if values.is_empty() {
            return Err(Fault::NoneCounts);
        }
        let measured = gauge.measure(&values)?;
        let ratio = measured.ratio;
        let propose = |replicas| Proposal {
            replicas,
            utilization: measured.utilization,
            value: Milli(measured.average),
        };
        let unready_against = !groups.unready.is_empty() && ratio > 1.0;
        if !unready_against && groups.missing.is_empty() {
            let replicas =
                if self.tolerances.hold(ratio) { *current } else { count(ratio * f64::from(groups.ready)) };
            return Ok(propose(replicas));
        }

        if ratio < 1.0 {
            values.extend(groups.missing.iter().map(|pod| (*pod, gauge.assumed(pod))));
        } else if ratio > 1.0 {
            values.extend(groups.missing.iter().chain(&groups.unready).map(|pod| (*pod, 0)));
        }
        let cautious = gauge.measure(&values)?.ratio;
        let turned = (ratio < 1.0 && cautious > 1.0) || (ratio > 1.0 && cautious < 1.0);
        if self.tolerances.hold(cautious) || turned {
            return Ok(propose(*current));
        }
        let replicas = count(cautious * float(whole(values.len())));
        let against = (cautious < 1.0 && replicas > *current) || (cautious > 1.0 && replicas < *current);
        Ok(propose(if against { *current } else { replicas }))
    }

    /// What one number for all the pods asks for.
    fn total(self, values: &[Milli], target: Total) -> Result<Proposal, Fault> {
        let Observation { replicas: current, existing, pods, .. } = self.observation;
        if values.is_empty() {
            return Err(Fault::Unavailable);
        }
        let sum = values.iter().fold(0i64, |sum, value| sum.saturating_add(value.0));
        let (replicas, value) = match target {
            Total::Average(Milli(each)) => {
                let ratio = float(sum) / (float(each) * f64::from(*existing));
                let replicas =
                    if self.tolerances.hold(ratio) { *existing } else { count(float(sum) / float(each)) };
                (replicas, share(sum, *existing))
            }
            Total::Value(Milli(wanted)) => {
                let ratio = float(sum) / float(wanted);
                let replicas = if *current == 0 {
                    count(ratio)
                } else if self.tolerances.hold(ratio) {
                    *current
                } else if pods.is_empty() {
                    return Err(Fault::NoPods);
                } else {
                    count(ratio * float(whole(pods.iter().filter(|pod| pod.is_serving()).count())))
                };
                (replicas, sum)
            }
        };
        Ok(Proposal { replicas, utilization: None, value: Milli(value) })
    }
}

/// What the pods' values are compared with.
pub(crate) enum Gauge<'a> {
    Utilization { requests: Result<BTreeMap<&'a str, i64>, Fault>, percent: u32 },
    Average(Milli),
}

/// Measured by target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) ratio: f64,
    pub(crate) utilization: Option<i64>,
    /// In thousandths, over the pods that count.
    pub(crate) average: i64,
}

impl Gauge<'_> {
    pub(crate) fn measure(&self, values: &BTreeMap<&str, i64>) -> Result<Measured, Fault> {
        match self {
            Self::Utilization { requests, percent } => {
                let requests = requests.as_ref().map_err(Clone::clone)?;
                let known = || values.iter().filter_map(|(pod, value)| Some((*value, *requests.get(pod)?)));
                let (used, requested) = known()
                    .fold((0, 0), |(used, requested), (value, request)| (used + value, requested + request));
                if requested == 0 {
                    return Err(Fault::NoneKnown);
                }
                let utilization = used * 100 / requested;
                let ratio = float(utilization) / f64::from(*percent);
                Ok(Measured { ratio, utilization: Some(utilization), average: used / whole(known().count()) })
            }
            Self::Average(Milli(target)) => {
                let sum = values.values().fold(0i64, |sum, value| sum.saturating_add(*value));
                let average = sum / whole(values.len()).max(1);
                Ok(Measured { ratio: float(average) / float(*target), utilization: None, average })
            }
        }
    }

    /// What a pod without a sample is assumed to use when the others use little: all that it asked for, or the
    /// target if that is more.
    fn assumed(&self, pod: &str) -> i64 {
        match self {
            Self::Utilization { requests, percent } => {
                let request =
                    requests.as_ref().ok().and_then(|requests| requests.get(pod)).copied().unwrap_or(0);
                request * i64::from((*percent).max(100)) / 100
            }
            Self::Average(Milli(target)) => *target,
        }
    }
}

/// What each pod asks for, of all its containers or of the one.
fn requests<'a>(
    pods: &'a [Pod],
    resource: Resource,
    container: Option<&str>,
) -> Result<BTreeMap<&'a str, i64>, Fault> {
    pods.iter().map(|pod| Ok((pod.name.as_str(), request(pod, resource, container)?))).collect()
}

fn request(pod: &Pod, resource: Resource, container: Option<&str>) -> Result<i64, Fault> {
    let mut sum = None;
    for each in pod.containers.iter().filter(|each| container.is_none_or(|name| name == each.name)) {
        let missing = || Fault::NoRequest { pod: pod.name.clone(), container: each.name.clone() };
        let Milli(milli) = each.request(resource).ok_or_else(missing)?;
        sum = Some(sum.unwrap_or(0) + milli);
    }
    match (sum, container) {
        (None, Some(_)) => Err(Fault::NoContainer { pod: pod.name.clone() }),
        (sum, _) => Ok(sum.unwrap_or(0)),
    }
}

/// A pod's share of a sum, rounded up; of a sum beyond counting, the sum.
fn share(sum: i64, pods: u32) -> i64 {
    if float(sum) >= float(i64::MAX) {
        return i64::MAX;
    }
    truncate((float(sum) / f64::from(pods)).ceil())
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "Kubernetes reckons in doubles, and so does this, to agree")]
fn float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates, which is what is meant")]
fn truncate(number: f64) -> i64 {
    number as i64
}

/// Rounded up, and no more than Kubernetes can count.
fn count(number: f64) -> u32 {
    u32::try_from(truncate(number.ceil()).clamp(0, i64::from(i32::MAX))).unwrap_or(0)
}
