//! The weights of a route's backends sum to 100: Gateway API divides by whatever the sum is, so a slip in one
//! of them moves all the others without a word.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    for route in cluster.own("HTTPRoute") {
        for rule in route.list("/spec/rules") {
            let weights = object::list(rule, "/backendRefs").iter();
            let weights = weights.map(|backend| backend.get("weight").and_then(Value::as_i64).unwrap_or(1));
            let sum: i64 = weights.sum();
            if sum != 100 {
                faults.push(format!("{route}: its weights sum to {sum}"));
            }
        }
    }
    faults
}
