//! A credential that is rotated reaches the pods: each Secret that a pod of the gateway reads has an
//! annotation for its checksum.

use std::collections::BTreeSet;

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.gateways() {
        let annotations = workload.pod_annotations();
        let names: BTreeSet<&str> = workload.secrets().iter().map(|reference| reference.name).collect();
        let missing = names.into_iter().filter(|name| !annotations.contains_key(&format!("checksum/{name}")));
        faults.extend(missing.map(|name| format!("{}: a new {name} rolls no pod", workload.0)));
    }
    faults
}
