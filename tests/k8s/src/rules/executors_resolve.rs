//! A `SpinApp` names its executor, which exists and runs pods on a runtime class: without a name the operator
//! takes whichever comes first in the alphabet, and without a Deployment there is nothing to scale.

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for app in cluster.own("SpinApp") {
        let name = app.text("/spec/executor").unwrap_or_default();
        let Some(executor) = cluster.find("SpinAppExecutor", app.namespace(), name) else {
            faults.push(format!("{app}: there is no SpinAppExecutor {name}"));
            continue;
        };
        if executor.flag("/spec/createDeployment") != Some(true) {
            faults.push(format!("{executor}: makes no Deployment"));
        }
        if executor.text("/spec/deploymentConfig/runtimeClassName").is_none() {
            faults.push(format!("{executor}: names no runtime class"));
        }
    }
    faults
}
