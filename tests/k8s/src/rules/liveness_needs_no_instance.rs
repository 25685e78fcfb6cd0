//! Liveness is asked of Spin itself: a probe that needs an instance of the component kills the pod whose
//! instances are all busy, in the middle of a flood.

use crate::cluster::Cluster;
use crate::object;

const HEALTH: &str = "/.well-known/spin/health";

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.gateways().filter(|workload| workload.is_on_spin()) {
        for container in workload.containers() {
            match object::text(container, "/livenessProbe/httpGet/path") {
                Some(HEALTH) => {}
                Some(path) => {
                    faults.push(format!("{}: liveness asks {path}, which needs an instance", workload.0));
                }
                None => faults.push(format!("{}: has no liveness probe", workload.0)),
            }
        }
    }
    faults
}
