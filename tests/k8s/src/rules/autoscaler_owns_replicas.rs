//! The number of pods has one owner: an autoscaler, or the manifest. With both, every apply throws away the
//! pods that a flood has brought; with neither there is one pod.

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.workloads() {
        let object = workload.0;
        let scaled =
            cluster.own("HorizontalPodAutoscaler").chain(cluster.own("ScaledObject")).any(|autoscaler| {
                autoscaler.namespace() == object.namespace()
                    && autoscaler.text("/spec/scaleTargetRef/name") == Some(object.name())
                    && autoscaler.text("/spec/scaleTargetRef/kind").unwrap_or("Deployment") == object.kind()
            });
        match (scaled, object.number("/spec/replicas")) {
            (true, Some(_)) => faults.push(format!("{object}: replicas belong to its autoscaler")),
            (false, None) => faults.push(format!("{object}: neither an autoscaler nor replicas")),
            (true, None) | (false, Some(_)) => {}
        }
    }
    for app in cluster.own("SpinApp") {
        let automatic = app.flag("/spec/enableAutoscaling").unwrap_or(false);
        if automatic == app.number("/spec/replicas").is_some() {
            faults.push(format!("{app}: the operator wants either enableAutoscaling or replicas"));
        }
    }
    faults
}
