//! No two objects of a render are the same one, nor is one an operator's.

use std::collections::BTreeSet;

use crate::cluster::Cluster;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = cluster.objects.iter().chain(&cluster.made).map(ToString::to_string);
    all.filter(|name| !seen.insert(name.clone())).map(|name| format!("{name} is there twice")).collect()
}
