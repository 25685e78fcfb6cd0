//! What a workload selects are its own pods and nobody else's, and so for the constraints that spread them.

use crate::cluster::Cluster;
use crate::object;
use crate::selector::selects;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.workloads() {
        let (selector, pods) = (workload.selector(), workload.pod_labels());
        if selector.is_empty() || !selects(&selector, &pods) {
            faults.push(format!("{}: does not select its own pods", workload.0));
        }
        let others = cluster.workloads().filter(|other| !std::ptr::eq(other.0, workload.0));
        let others = others.filter(|other| other.namespace() == workload.namespace());
        let claimed = others.filter(|other| selects(&selector, &other.pod_labels()));
        faults.extend(claimed.map(|other| format!("{}: claims the pods of {}", workload.0, other.0)));
        for spread in workload.0.list("/spec/template/spec/topologySpreadConstraints") {
            if !selects(&object::labels(spread, "/labelSelector/matchLabels"), &pods) {
                faults.push(format!("{}: is spread by pods that are not its own", workload.0));
            }
        }
    }
    faults
}
