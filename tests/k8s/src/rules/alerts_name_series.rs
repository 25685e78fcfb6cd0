//! An alert over a series that nobody writes never fires, and a panel over one is always empty.
//!
//! And each pod on Spin shows the sum of all pods: a rate that is not made one number for each set of labels
//! before it is added up counts every call as often as there are pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object;
use crate::promql::{Selection, selections};

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let recorded: BTreeSet<&str> = rules(cluster).filter_map(|rule| object::text(rule, "/record")).collect();
    let mut faults = Vec::new();
    for (whose, expression) in expressions(cluster) {
        match selections(&expression) {
            Ok(selections) => {
                let others = selections.iter().filter(|it| !recorded.contains(it.name.as_str()));
                faults.extend(
                    others.filter_map(|it| fault_of(cluster, it)).map(|why| format!("{whose}: {why}")),
                );
            }
            Err(why) => faults.push(format!("{whose}: {why}, in `{expression}`")),
        }
    }
    faults
}

fn fault_of(cluster: &Cluster, selection: &Selection) -> Option<String> {
    let name = &selection.name;
    let Some(labels) = cluster.metrics.labels(name) else {
        return Some(format!("nothing writes the series `{name}`"));
    };
    let once =
        selection.greatest_by.as_ref().is_some_and(|by| labels.iter().all(|label| by.contains(*label)));
    (selection.over_a_range && !once)
        .then(|| format!("`{name}` is counted by every pod: take the max by {labels:?} before anything else"))
}

fn rules(cluster: &Cluster) -> impl Iterator<Item = &Value> {
    let groups = cluster.own("PrometheusRule").flat_map(|object| object.list("/spec/groups"));
    groups.flat_map(|group| object::list(group, "/rules"))
}

/// All that Prometheus would be asked: by alerts, by dashboards and by KEDA.
fn expressions(cluster: &Cluster) -> Vec<(String, String)> {
    let rules = rules(cluster).map(|rule| {
        let name = object::text(rule, "/alert").or(object::text(rule, "/record")).unwrap_or("a rule");
        (name.to_owned(), object::text(rule, "/expr").unwrap_or_default().to_owned())
    });
    let dashboards = cluster.own("ConfigMap").flat_map(|map| {
        let boards = map.labels("/data").into_iter().filter(|_| !map.labels("/metadata/labels").is_empty());
        boards
            .filter(|(file, _)| file.ends_with("dashboard.json"))
            .flat_map(|(file, text)| panels(&file, &text))
    });
    let scaled = cluster.own("ScaledObject").flat_map(|object| {
        let queries = object.list("/spec/triggers").iter();
        queries.filter_map(|trigger| {
            Some((object.to_string(), object::text(trigger, "/metadata/query")?.to_owned()))
        })
    });
    rules.chain(dashboards).chain(scaled).collect()
}

/// A dashboard that is no JSON asks for something that nobody writes.
fn panels(file: &str, text: &str) -> Vec<(String, String)> {
    let Ok(board) = serde_json::from_str::<Value>(text) else {
        return vec![(file.to_owned(), "no JSON".to_owned())];
    };
    let mut found = Vec::new();
    for panel in object::list(&board, "/panels") {
        let title = format!("{file}, {}", object::text(panel, "/title").unwrap_or("a panel"));
        let targets = object::list(panel, "/targets").iter();
        found.extend(
            targets.map(|it| (title.clone(), object::text(it, "/expr").unwrap_or_default().to_owned())),
        );
    }
    found
}
