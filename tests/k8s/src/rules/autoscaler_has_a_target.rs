//! An autoscaler scales something that exists, or that an operator makes. Never a `SpinApp`: it has no scale
//! subresource.

use crate::cluster::Cluster;
use crate::operators::proxy_of_gateway;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let autoscalers = cluster.own("HorizontalPodAutoscaler").chain(cluster.own("ScaledObject"));
    let lost = autoscalers.filter(|autoscaler| {
        let kind = autoscaler.text("/spec/scaleTargetRef/kind").unwrap_or("Deployment");
        let name = autoscaler.text("/spec/scaleTargetRef/name").unwrap_or_default();
        let namespace = autoscaler.namespace();
        let proxy = cluster
            .own("Gateway")
            .any(|gateway| kind == "Deployment" && proxy_of_gateway(gateway) == (namespace, name.to_owned()));
        !proxy && !cluster.workloads().any(|workload| workload.0.is_named(kind, namespace, name))
    });
    lost.map(|autoscaler| format!("{autoscaler}: what it scales does not exist")).collect()
}
