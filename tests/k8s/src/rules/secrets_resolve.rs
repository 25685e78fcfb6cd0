//! A Secret that a pod or a Gateway names is one that the templates promise, with the key; and no render
//! holds one: what is in a render is in a repository.

use crate::cluster::Cluster;
use crate::object;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let promised = |namespace: &str, name: &str| {
        cluster.secrets.iter().find(|secret| secret.is_named("Secret", namespace, name))
    };
    let mut faults: Vec<String> =
        cluster.own("Secret").map(|secret| format!("{secret}: its values are in the repository")).collect();
    for workload in cluster.workloads() {
        for reference in workload.secrets() {
            let Some(secret) = promised(workload.namespace(), reference.name) else {
                faults.push(format!("{}: no template promises the Secret {}", workload.0, reference.name));
                continue;
            };
            let keys = secret.labels("/stringData");
            if let Some(key) = reference.key.filter(|key| !keys.contains_key(*key)) {
                faults.push(format!("{}: {secret} has no key {key}", workload.0));
            }
        }
    }
    for gateway in cluster.own("Gateway") {
        let listeners = gateway.list("/spec/listeners").iter();
        let certificates = listeners.flat_map(|listener| object::list(listener, "/tls/certificateRefs"));
        let names = certificates.filter_map(|certificate| object::text(certificate, "/name"));
        let lost = names.filter(|name| promised(gateway.namespace(), name).is_none());
        faults.extend(lost.map(|name| format!("{gateway}: no template promises the Secret {name}")));
    }
    let filled =
        cluster.secrets.iter().filter(|it| it.labels("/stringData").values().any(|value| !value.is_empty()));
    faults.extend(filled.map(|secret| format!("{secret}: the template holds a value")));
    faults
}
