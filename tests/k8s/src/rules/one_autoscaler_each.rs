//! Two autoscalers of one Deployment undo each other's work for ever.

use std::collections::BTreeMap;

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut scaling: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for autoscaler in cluster.own("HorizontalPodAutoscaler").chain(cluster.own("ScaledObject")) {
        let target = autoscaler.text("/spec/scaleTargetRef/name").unwrap_or_default();
        scaling.entry((autoscaler.namespace(), target)).or_default().push(autoscaler.to_string());
    }
    let crowded = scaling.into_iter().filter(|(_, autoscalers)| autoscalers.len() > 1);
    crowded
        .map(|((namespace, target), autoscalers)| {
            format!("{namespace}/{target} is scaled by {}", autoscalers.join(" and by "))
        })
        .collect()
}
