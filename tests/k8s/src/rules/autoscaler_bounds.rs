//! An autoscaler has room, and windows and periods that Kubernetes takes: its schema knows neither.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{self, Object};

/// Seconds, of a policy's period and of a window. Source: Kubernetes' validation of HPA v2.
const LONGEST_PERIOD: i64 = 1800;
const LONGEST_WINDOW: i64 = 3600;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let hpas = cluster.own("HorizontalPodAutoscaler");
    let hpas = hpas.flat_map(|hpa| {
        let bounds =
            (hpa.number("/spec/minReplicas").unwrap_or(1), hpa.number("/spec/maxReplicas").unwrap_or(0));
        faults_of(hpa, bounds, hpa.0.pointer("/spec/behavior"))
    });
    let scaled = cluster.own("ScaledObject").flat_map(|it| {
        let bounds = (
            it.number("/spec/minReplicaCount").unwrap_or(0),
            it.number("/spec/maxReplicaCount").unwrap_or(100),
        );
        faults_of(it, bounds, it.0.pointer("/spec/advanced/horizontalPodAutoscalerConfig/behavior"))
    });
    hpas.chain(scaled).collect()
}

fn faults_of(whose: &Object, (least, most): (i64, i64), behavior: Option<&Value>) -> Vec<String> {
    let mut faults = Vec::new();
    if least < 1 {
        faults.push(format!("{whose}: with {least} pods at least, the first call finds nobody"));
    }
    if least >= most {
        faults.push(format!("{whose}: at least {least} and at most {most} pods leave nothing to scale"));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let Some(rules) = behavior.and_then(|it| it.get(direction)) else { continue };
        let window = rules.pointer("/stabilizationWindowSeconds").and_then(Value::as_i64).unwrap_or(0);
        if !(0..=LONGEST_WINDOW).contains(&window) {
            faults.push(format!("{whose}: {direction} has a window of {window} s"));
        }
        for policy in object::list(rules, "/policies") {
            let period = policy.pointer("/periodSeconds").and_then(Value::as_i64).unwrap_or(0);
            let value = policy.pointer("/value").and_then(Value::as_i64).unwrap_or(0);
            if !(1..=LONGEST_PERIOD).contains(&period) || value < 1 {
                faults.push(format!("{whose}: {direction} has a policy of {value} in {period} s"));
            }
        }
    }
    faults
}
