//! A Service leads to the pods of exactly one workload, by a port that they have.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::Object;
use crate::selector::selects;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    cluster.all("Service").flat_map(|service| faults_of(cluster, service)).collect()
}

fn faults_of(cluster: &Cluster, service: &Object) -> Vec<String> {
    let selector = service.labels("/spec/selector");
    let behind = cluster.workloads().filter(|it| it.namespace() == service.namespace());
    let behind: Vec<_> = behind.filter(|it| selects(&selector, &it.pod_labels())).collect();
    let [workload] = behind.as_slice() else {
        return vec![format!("{service}: leads to {} workloads", behind.len())];
    };
    let ports = service.list("/spec/ports").iter();
    let targets = ports.map(|port| port.get("targetPort").or(port.get("port")).unwrap_or(&Value::Null));
    let lost = targets.filter(|target| !workload.has_port(target));
    lost.map(|target| format!("{service}: {} has no port {target}", workload.0)).collect()
}
