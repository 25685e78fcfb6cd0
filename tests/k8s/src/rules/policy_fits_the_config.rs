//! The network policy lets through exactly what the configuration names: name servers, the store, the
//! upstreams' ports, and nothing inside the cluster's own ranges.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{self, Object};
use crate::selector::selects;

/// Where clusters and clouds keep what is nobody's business, the metadata service among it.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for workload in cluster.gateways() {
        let policies = cluster.own("NetworkPolicy").filter(|policy| {
            policy.namespace() == workload.namespace()
                && selects(&policy.labels("/spec/podSelector/matchLabels"), &workload.pod_labels())
        });
        let policies: Vec<&Object> = policies.collect();
        if policies.is_empty() {
            faults.push(format!("{}: no policy guards its pods", workload.0));
        }
        for policy in policies {
            for rule in policy.list("/spec/ingress") {
                if object::list(rule, "/from").is_empty() {
                    faults.push(format!("{policy}: lets anybody in"));
                }
                let ports = object::list(rule, "/ports").iter().filter_map(|port| port.get("port"));
                let lost = ports.filter(|port| !workload.has_port(port));
                faults.extend(lost.map(|port| format!("{policy}: {} has no port {port}", workload.0)));
            }
        }
    }
    for policy in cluster.own("NetworkPolicy") {
        faults.extend(outgoing(cluster, policy));
    }
    faults
}

/// What is too many or too few of the ports that a policy lets out.
fn outgoing(cluster: &Cluster, policy: &Object) -> Vec<String> {
    let mut faults = Vec::new();
    let types: BTreeSet<&str> = policy.list("/spec/policyTypes").iter().filter_map(Value::as_str).collect();
    if types != BTreeSet::from(["Egress", "Ingress"]) {
        faults.push(format!("{policy}: guards only {types:?}"));
    }
    // Port 53 is for names.
    let mut wanted = BTreeSet::from([("UDP", 53), ("TCP", 53)]);
    for (_, settings) in cluster.settings() {
        let Ok(settings) = settings else { continue };
        let ports = settings.upstream_ports().into_iter().chain(settings.store_port());
        wanted.extend(ports.map(|port| ("TCP", i64::from(port))));
    }
    let mut open = BTreeSet::new();
    for rule in policy.list("/spec/egress") {
        if object::list(rule, "/to").is_empty() {
            faults.push(format!("{policy}: lets pods reach anything"));
        }
        if object::list(rule, "/ports").is_empty() {
            faults.push(format!("{policy}: lets pods reach any port"));
        }
        for port in object::list(rule, "/ports") {
            let number = port.pointer("/port").and_then(Value::as_i64).unwrap_or(-1);
            open.insert((object::text(port, "/protocol").unwrap_or("TCP"), number));
        }
        faults.extend(uncovered(rule).map(|range| format!("{policy}: lets pods reach {range}")));
    }
    faults.extend(
        wanted.difference(&open).map(|port| format!("{policy}: shuts out {port:?}, which is needed")),
    );
    faults
        .extend(open.difference(&wanted).map(|port| format!("{policy}: opens {port:?}, which nobody needs")));
    faults
}

/// The private ranges that a rule for the whole world does not leave out.
fn uncovered(rule: &Value) -> impl Iterator<Item = &'static str> {
    let blocks = object::list(rule, "/to").iter().filter_map(|to| to.get("ipBlock"));
    blocks.flat_map(|block| {
        let version_4 = object::text(block, "/cidr").is_some_and(|cidr| !cidr.contains(':'));
        let except = object::list(block, "/except");
        PRIVATE.into_iter().filter(move |range| {
            range.contains(':') != version_4 && !except.iter().any(|it| it.as_str() == Some(*range))
        })
    })
}
