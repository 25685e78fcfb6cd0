//! A disruption budget guards pods that exist and lets a drain come to an end.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::Object;
use crate::selector::selects;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    cluster.own("PodDisruptionBudget").flat_map(|budget| faults_of(cluster, budget)).collect()
}

fn faults_of(cluster: &Cluster, budget: &Object) -> Vec<String> {
    let mut faults = Vec::new();
    let selector = budget.labels("/spec/selector/matchLabels");
    let guarded = cluster.workloads().filter(|it| it.namespace() == budget.namespace());
    if selector.is_empty() || !guarded.into_iter().any(|it| selects(&selector, &it.pod_labels())) {
        faults.push(format!("{budget}: guards no pod"));
    }
    match budget.0.pointer("/spec/maxUnavailable") {
        Some(Value::String(part)) if part != "0%" => {}
        Some(Value::Number(count)) if count.as_u64() != Some(0) => {}
        _ => faults.push(format!("{budget}: lets no pod go, a drain would wait for ever")),
    }
    if budget.text("/spec/unhealthyPodEvictionPolicy") != Some("AlwaysAllow") {
        faults.push(format!("{budget}: a pod that is not ready holds up a drain"));
    }
    faults
}
