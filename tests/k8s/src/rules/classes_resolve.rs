//! Accounts, runtime classes and priority classes that pods name exist; the gateway's account has no token.

use crate::cluster::Cluster;
use crate::workload::Workload;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    cluster.workloads().flat_map(|workload| faults_of(cluster, workload)).collect()
}

fn faults_of(cluster: &Cluster, workload: Workload<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for (pointer, kind) in [("/runtimeClassName", "RuntimeClass"), ("/priorityClassName", "PriorityClass")] {
        if let Some(name) = workload.pod_text(pointer).filter(|name| cluster.find(kind, "", name).is_none()) {
            faults.push(format!("{}: there is no {kind} {name}", workload.0));
        }
    }
    let account = workload.pod_text("/serviceAccountName").unwrap_or("default");
    match cluster.find("ServiceAccount", workload.namespace(), account) {
        None => faults.push(format!("{}: there is no ServiceAccount {account}", workload.0)),
        Some(found) if found.flag("/automountServiceAccountToken") != Some(false) => {
            faults.push(format!("{found}: its pods are given a token that nobody needs"));
        }
        Some(_) => {}
    }
    faults
}
