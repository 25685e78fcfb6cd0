//! Utilization is a part of what was requested: where an autoscaler measures a resource, every container
//! requests it, and no request is above its limit.

use crate::cluster::Cluster;
use crate::object::{self, Object};
use crate::quantity::thousandths;
use crate::workload::Workload;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.workloads() {
        faults.extend(above_limits(workload));
        for autoscaler in cluster.own("HorizontalPodAutoscaler").chain(cluster.own("ScaledObject")) {
            let target = autoscaler.text("/spec/scaleTargetRef/name");
            if autoscaler.namespace() != workload.namespace() || target != Some(workload.0.name()) {
                continue;
            }
            for resource in measured(autoscaler) {
                let pointer = format!("/resources/requests/{resource}");
                let without = workload.containers().iter().any(|it| object::text(it, &pointer).is_none());
                if without {
                    faults.push(format!(
                        "{autoscaler}: {} requests no {resource} to measure against",
                        workload.0
                    ));
                }
            }
        }
    }
    faults
}

fn measured(autoscaler: &Object) -> Vec<&str> {
    let metrics = autoscaler.list("/spec/metrics").iter().filter_map(|it| object::text(it, "/resource/name"));
    let triggers = autoscaler.list("/spec/triggers").iter().filter_map(|it| object::text(it, "/type"));
    metrics.chain(triggers.filter(|kind| ["cpu", "memory"].contains(kind))).collect()
}

fn above_limits(workload: Workload<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for container in workload.containers() {
        for (resource, requested) in object::labels(container, "/resources/requests") {
            let limit = object::text(container, &format!("/resources/limits/{resource}"));
            let (requested_much, limit_much) = (thousandths(&requested), limit.and_then(thousandths));
            if requested_much.is_none() || limit_much.is_none() || requested_much > limit_much {
                faults.push(format!(
                    "{}: requests {requested} of {resource}, its limit is {limit:?}",
                    workload.0
                ));
            }
        }
    }
    faults
}
