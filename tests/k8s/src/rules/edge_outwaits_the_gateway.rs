//! The edge waits longer than the gateway, so that it is the gateway that gives up and says why.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::object;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let settings = cluster.settings();
    let longest =
        settings.iter().filter_map(|(_, settings)| Some(settings.as_ref().ok()?.longest_call())).max();
    let longest = longest.unwrap_or_default();
    let mut faults = Vec::new();
    for route in cluster.own("HTTPRoute") {
        for rule in route.list("/spec/rules") {
            let wait = |pointer: &str| object::text(rule, pointer).and_then(seconds);
            let (request, backend) = (wait("/timeouts/request"), wait("/timeouts/backendRequest"));
            match (request, backend) {
                (Some(request), Some(backend)) if longest < backend && backend <= request => {}
                (None, _) | (_, None) => faults.push(format!("{route}: a rule has no timeouts in seconds")),
                (Some(request), Some(backend)) => faults.push(format!(
                    "{route}: waits {backend:?} and {request:?} in all, where a call may take {longest:?}"
                )),
            }
        }
    }
    faults
}

/// Of Gateway API's durations, those that this tree uses: whole seconds.
fn seconds(text: &str) -> Option<Duration> {
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}
