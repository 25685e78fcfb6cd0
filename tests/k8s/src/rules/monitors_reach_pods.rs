//! A monitor selects pods that exist, by a port that they have, and the network policy lets Prometheus in.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object;
use crate::selector::selects;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for monitor in cluster.own("PodMonitor") {
        let selector = monitor.labels("/spec/selector/matchLabels");
        let pods = cluster.workloads().filter(|it| it.namespace() == monitor.namespace());
        let pods: Vec<_> = pods.filter(|it| selects(&selector, &it.pod_labels())).collect();
        if pods.is_empty() {
            faults.push(format!("{monitor}: selects no pod"));
        }
        for endpoint in monitor.list("/spec/podMetricsEndpoints") {
            let port = endpoint.pointer("/port").unwrap_or(&Value::Null);
            let without = pods.iter().filter(|pod| !pod.has_port(port));
            faults.extend(without.map(|pod| format!("{monitor}: {} has no port {port}", pod.0)));
            if object::text(endpoint, "/path") != Some("/metrics") {
                faults.push(format!("{monitor}: the gateway shows its numbers at /metrics"));
            }
        }
        for policy in cluster.own("NetworkPolicy") {
            let guards = |pod: &_| selects(&policy.labels("/spec/podSelector/matchLabels"), pod);
            if pods.iter().any(|pod| guards(&pod.pod_labels()))
                && !policy.0.to_string().contains("\"monitoring\"")
            {
                faults.push(format!("{policy}: shuts Prometheus out"));
            }
        }
    }
    faults
}
