//! A `ConfigMap` that a pod names exists and has the key, or the pod never starts.

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.workloads() {
        for reference in workload.config_maps() {
            let Some(map) = cluster.find("ConfigMap", workload.namespace(), reference.name) else {
                faults.push(format!("{}: there is no ConfigMap {}", workload.0, reference.name));
                continue;
            };
            let data = map.labels("/data");
            if let Some(key) = reference.key.filter(|key| !data.contains_key(*key)) {
                faults.push(format!("{}: {map} has no key {key}", workload.0));
            }
        }
    }
    faults
}
