//! Pods can do no more than they need, where their specification can say so.
//!
//! Two things cannot be said of pods on the Spin shim: it writes `/spin.json` and its cache into the
//! container's root before it starts the component (containerd-shim-spin, `source.rs`), so they are neither
//! non-root nor read-only.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workload::Workload;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let own = cluster.workloads().filter(|workload| !workload.is_made());
    own.flat_map(|workload| {
        faults_of(workload).into_iter().map(move |fault| format!("{}: {fault}", workload.0))
    })
    .collect()
}

fn faults_of(workload: Workload<'_>) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let mut want = |good: bool, fault| {
        if !good {
            faults.push(fault);
        }
    };
    let yes = Some(&Value::Bool(true));
    let no = Some(&Value::Bool(false));
    want(workload.pod("/automountServiceAccountToken") == no, "is given a token that it does not need");
    let profile = workload.pod_text("/securityContext/seccompProfile/type");
    want(profile == Some("RuntimeDefault"), "may make any system call");
    for shared in ["/hostNetwork", "/hostPID", "/hostIPC"] {
        want(workload.pod(shared) != yes, "shares the node's own name spaces");
    }
    if !workload.is_on_spin() {
        want(workload.pod("/securityContext/runAsNonRoot") == yes, "may run as root");
    }
    for container in workload.containers() {
        let said = |pointer: &str| container.pointer(&format!("/securityContext/{pointer}"));
        want(said("allowPrivilegeEscalation") == no, "may gain privileges");
        want(said("capabilities/drop") == Some(&json!(["ALL"])), "keeps capabilities");
        want(said("privileged") != yes, "is privileged");
        if !workload.is_on_spin() {
            want(said("readOnlyRootFilesystem") == yes, "may write to its root");
        }
    }
    faults
}
