//! The component may connect to exactly the upstreams that the configuration names: Spin refuses every other
//! host, and such an upstream looks like one that is down.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::settings::Settings;
use crate::workload::Workload;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let settings = cluster.settings();
    let named = settings.iter().filter_map(|(_, settings)| settings.as_ref().ok());
    let named: BTreeSet<String> = named.flat_map(Settings::upstream_hosts).collect();
    let on_spin = cluster.gateways().filter(|workload| workload.is_on_spin());
    on_spin.flat_map(|workload| faults_of(cluster, workload, &named)).collect()
}

fn faults_of(cluster: &Cluster, workload: Workload<'_>, named: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut allowed = BTreeSet::new();
    for variable in &cluster.component.hosts {
        match workload.variable(variable) {
            Some(host) => {
                allowed.insert(host.to_owned());
            }
            None => faults.push(format!("{}: does not say `{variable}`, and gets its default", workload.0)),
        }
    }
    let lost = named.difference(&allowed);
    faults.extend(lost.map(|host| format!("{}: may not connect to {host}, an upstream", workload.0)));
    let idle = allowed.difference(named);
    faults.extend(idle.map(|host| format!("{}: may connect to {host}, which is no upstream", workload.0)));
    faults
}
