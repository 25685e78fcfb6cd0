//! The series that exist: those that pods on Spin show, and those of kube-state-metrics that the alerts use.

use std::collections::{BTreeMap, BTreeSet};

use weir::telemetry::metrics::{Family, Kind};

/// Of kube-state-metrics 2.x, `docs/metrics/workload/horizontalpodautoscaler-metrics.md`.
const KUBE_STATE: [&str; 3] = [
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_horizontalpodautoscaler_status_desired_replicas",
];

/// What a component never writes: an instance lives for one request, in which it waits for no turn and reads its
/// configuration once, and when it has lost Redis there is nobody that it could tell. Its log lines are the host's
/// affair.
const NOT_ON_SPIN: [Family; 7] = [
    Family::Reloads,
    Family::Shed,
    Family::QueueWait,
    Family::StoreFaults,
    Family::StoreUnsettled,
    Family::StoreForbidden,
    Family::LogLinesDropped,
];

/// Series by name, each with the labels that make two of its numbers different.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, BTreeSet<&'static str>>);

impl Metrics {
    /// What a pod on Spin shows at `/metrics`, and what kube-state-metrics says of autoscalers.
    ///
    /// Gauges are not among it: an instance that is killed would never take back what it put into Redis. But how
    /// breakers stand Redis knows by itself.
    pub fn of_pods_on_spin() -> Self {
        let mut series: BTreeMap<_, _> = KUBE_STATE.map(|name| (name.to_owned(), BTreeSet::new())).into();
        for family in Family::ALL.into_iter().filter(|family| !NOT_ON_SPIN.contains(family)) {
            let labels: BTreeSet<&str> = family.labels().iter().copied().collect();
            let name = family.name();
            match family.kind() {
                Kind::Gauge if family == Family::Breakers => {
                    series.insert(name.to_owned(), labels);
                }
                Kind::Gauge => {}
                Kind::Counter => {
                    series.insert(format!("{name}_total"), labels);
                }
                Kind::Histogram(_) => {
                    let bounded = labels.iter().copied().chain(["le"]).collect();
                    series.insert(format!("{name}_bucket"), bounded);
                    series.insert(format!("{name}_sum"), labels.clone());
                    series.insert(format!("{name}_count"), labels);
                }
            }
        }
        Self(series)
    }

    /// The labels of a series; `None` if nobody writes it. Those of other programs are not known, so there
    /// are none.
    pub(crate) fn labels(&self, series: &str) -> Option<&BTreeSet<&'static str>> {
        self.0.get(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_those_that_are_written() {
        let metrics = Metrics::of_pods_on_spin();
        let cases = [
            ("weir_requests_total", true),
            ("weir_requests", false),
            ("weir_time_to_first_byte_seconds_bucket", true),
            ("weir_in_flight", false),
            ("weir_breakers", true),
            ("weir_shed_total", false),
            ("weir_queue_wait_seconds_sum", false),
            ("kube_horizontalpodautoscaler_spec_max_replicas", true),
        ];
        for (series, expected) in cases {
            assert_eq!(metrics.labels(series).is_some(), expected, "{series}");
        }
    }
}
