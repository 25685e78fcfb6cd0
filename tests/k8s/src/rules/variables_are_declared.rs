//! What a pod tells the component is something that it can be told: Spin passes over a variable that is not
//! declared, and a slip in a name looks like a credential that is missing.

use crate::cluster::Cluster;
use crate::object;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.gateways().filter(|workload| workload.is_on_spin()) {
        let variables = workload.containers().iter().flat_map(|container| object::list(container, "/env"));
        let names = variables.filter_map(|it| object::text(it, "/name")?.strip_prefix("SPIN_VARIABLE_"));
        let lost = names.filter(|name| !cluster.component.variables.contains(&name.to_ascii_lowercase()));
        faults.extend(lost.map(|name| format!("{}: the component has no variable {name}", workload.0)));
    }
    faults
}
