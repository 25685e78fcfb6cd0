//! Each rule finds the fault that it is there for: a render with one thing changed in it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a fault in a test's own data fails the test")]

use std::collections::BTreeSet;

use serde::Deserialize;
use weir_k8s_tests::{Cluster, Object, documents, rules::RULES, tree};

/// One change, as `mutations.yaml` says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    /// What it would do to somebody.
    what: String,
    /// The render that is changed.
    render: String,
    /// `Kind name`; a Secret is one of the templates.
    object: String,
    /// RFC 6902, on that object.
    #[serde(default)]
    patch: Vec<json_patch::PatchOperation>,
    /// What becomes of the object beside being patched.
    #[serde(default)]
    fate: Fate,
    caught_by: String,
    /// Part of the fault's words.
    says: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    #[default]
    Kept,
    /// It is not there.
    Removed,
    /// It is there twice; the patch is on the second one.
    Doubled,
}

fn mutations() -> Vec<Mutation> {
    let read = documents(&tree::text("tests/k8s/mutations.yaml").unwrap()).unwrap();
    read.into_iter().map(|mutation| serde_json::from_value(mutation).unwrap()).collect()
}

fn mutated(mutation: &Mutation) -> Cluster {
    let cluster = tree::cluster(&mutation.render).unwrap();
    let Cluster { mut objects, mut secrets, component, .. } = cluster;
    let (kind, name) = mutation.object.split_once(' ').unwrap();
    let among = if kind == "Secret" { &mut secrets } else { &mut objects };
    let place = among.iter().position(|object| object.kind() == kind && is_called(object, name));
    let place = place.unwrap_or_else(|| panic!("{}: there is no {}", mutation.what, mutation.object));
    let mut changed = among.remove(place);
    match mutation.fate {
        Fate::Kept => {}
        Fate::Removed => return Cluster::of(objects, secrets, component),
        Fate::Doubled => among.push(changed.clone()),
    }
    json_patch::patch(&mut changed.0, &mutation.patch)
        .unwrap_or_else(|error| panic!("{}: {error}", mutation.what));
    among.push(changed);
    Cluster::of(objects, secrets, component)
}

/// Names of generated objects end in a hash, which `*` stands for.
fn is_called(object: &Object, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => object.name().starts_with(beginning),
        None => object.name() == name,
    }
}

#[test]
fn every_mutation_is_caught_by_the_rule_it_names() {
    let mut missed = Vec::new();
    for mutation in mutations() {
        let rule = RULES.iter().find(|rule| rule.name == mutation.caught_by);
        let rule = rule.unwrap_or_else(|| panic!("there is no rule {}", mutation.caught_by));
        let faults = (rule.faults)(&mutated(&mutation));
        if !faults.iter().any(|fault| fault.contains(&mutation.says)) {
            missed.push(format!("{}: {} found {faults:?}", mutation.what, rule.name));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_rule_has_a_mutation_that_it_catches() {
    let caught: BTreeSet<String> = mutations().into_iter().map(|mutation| mutation.caught_by).collect();
    let idle: Vec<&str> = RULES.iter().map(|rule| rule.name).filter(|name| !caught.contains(*name)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}
