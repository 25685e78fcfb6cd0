//! Readiness proves the configuration, the credentials and the store; it begins before liveness does, on a
//! port that the container has.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.gateways() {
        for container in workload.containers() {
            if object::text(container, "/readinessProbe/httpGet/path") != Some("/ready") {
                faults.push(format!("{}: readiness does not ask /ready", workload.0));
            }
            let delay = |probe: &str| {
                container
                    .pointer(&format!("/{probe}/initialDelaySeconds"))
                    .and_then(Value::as_i64)
                    .unwrap_or(0)
            };
            if delay("readinessProbe") > delay("livenessProbe") {
                faults.push(format!("{}: may be killed before it is asked whether it is ready", workload.0));
            }
            for probe in ["readinessProbe", "livenessProbe"] {
                let port = container.pointer(&format!("/{probe}/httpGet/port"));
                if !port.is_some_and(|port| workload.has_port(port)) {
                    faults.push(format!("{}: the {probe} asks at a port that is not there", workload.0));
                }
            }
        }
    }
    faults
}
