//! A pod that is to go is given longer than it waits before it stops; and on the Spin shim, which cuts every
//! stream at SIGTERM, it does wait.

use serde_json::Value;

use crate::cluster::Cluster;

/// Seconds between the end of the wait and the kill, for the process to stop.
const MARGIN: i64 = 10;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = made_pods(cluster);
    for workload in cluster.workloads().filter(|workload| !workload.is_made()) {
        let grace = workload.pod("/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
        for container in workload.containers() {
            let wait = container.pointer("/lifecycle/preStop/sleep/seconds").and_then(Value::as_i64);
            if wait.is_some_and(|wait| grace < wait + MARGIN) {
                faults.push(format!("{}: is killed {grace} s after it began to wait {wait:?} s", workload.0));
            }
            if wait.is_none() && workload.is_on_spin() {
                faults.push(format!("{}: streams are cut, nothing waits before the stop", workload.0));
            }
        }
    }
    faults
}

/// A `SpinApp` cannot say how its pods stop: where an autoscaler takes some away, an admission policy says it.
fn made_pods(cluster: &Cluster) -> Vec<String> {
    let told = cluster.own("MutatingAdmissionPolicyBinding").any(|binding| {
        let policy = binding.text("/spec/policyName").unwrap_or_default();
        let policy = cluster.find("MutatingAdmissionPolicy", "", policy);
        policy.is_some_and(|policy| policy.0.to_string().contains("preStop"))
    });
    let scaled = cluster.own("SpinApp").filter(|app| app.flag("/spec/enableAutoscaling") == Some(true));
    let lost = scaled.filter(|_| !told);
    lost.map(|app| format!("{app}: no policy has its pods wait before they stop")).collect()
}
