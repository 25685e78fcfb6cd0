//! The configuration is one that `weir check` finds nothing against, and each pod of the gateway is given
//! one.

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for (map, settings) in cluster.settings() {
        match settings {
            Err(why) => faults.push(format!("{map}: {why}")),
            Ok(settings) => {
                faults.extend(settings.warnings.iter().map(|warning| format!("{map}: {warning}")));
            }
        }
    }
    if cluster.settings().is_empty() {
        faults.push("no pod of the gateway is given a configuration".to_owned());
    }
    for workload in cluster.gateways() {
        let given = workload.containers().iter().flat_map(|it| crate::object::list(it, "/env"));
        let given =
            given.into_iter().any(|it| crate::object::text(it, "/name") == Some("SPIN_VARIABLE_CONFIG"));
        if workload.is_on_spin() && !given {
            faults.push(format!("{}: the variable `config` is not given", workload.0));
        }
    }
    faults
}
