//! The renders keep the rules that custom kinds bring along, and those rules are evaluated in truth.
#![expect(clippy::unwrap_used, reason = "a fault in a test's own data fails the test")]

use std::fs;

use json_patch::patch;
use serde_json::{Value, from_value, json};
use weir_k8s_tests::{CustomKind, Object, tree};

fn kinds() -> Vec<CustomKind> {
    let files = fs::read_dir(tree::path("tests/k8s/crds")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    files.flat_map(|path| CustomKind::read(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

fn faults(kinds: &[CustomKind], object: &Object) -> Vec<String> {
    kinds.iter().filter(|kind| kind.is_of(object)).flat_map(|kind| kind.faults(object)).collect()
}

#[test]
fn every_render_keeps_the_rules_of_its_kinds() {
    let kinds = kinds();
    let mut judged = 0;
    let mut broken = Vec::new();
    for render in tree::RENDERS {
        for object in &tree::cluster(render).unwrap().objects {
            judged += kinds.iter().filter(|kind| kind.is_of(object)).count();
            broken.extend(faults(&kinds, object).into_iter().map(|fault| format!("{render}: {fault}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(judged >= 8, "{judged} objects are of kinds that are defined here");
}

#[test]
fn every_rule_can_be_read() {
    let kinds = kinds();
    let rules: Vec<&str> = kinds.iter().flat_map(CustomKind::rules).collect();
    let unread: Vec<&str> =
        rules.iter().copied().filter(|rule| cel::Program::compile(rule).is_err()).collect();
    assert!(unread.is_empty() && rules.len() > 60, "{unread:?} of {}", rules.len());
}

#[test]
fn what_breaks_a_rule_is_told() {
    let kinds = kinds();
    for (render, kind, changes, says) in [
        (
            "production",
            "HTTPRoute",
            json!([{ "op": "replace", "path": "/spec/rules/0/timeouts/request", "value": "10m10s" }]),
            "backendRequest timeout cannot be longer than request timeout",
        ),
        (
            "production",
            "HTTPRoute",
            json!([{ "op": "replace", "path": "/spec/rules/0/matches/0/path/value", "value": "/v1//chat" }]),
            "must not contain '//'",
        ),
        (
            "production",
            "HTTPRoute",
            json!([{ "op": "remove", "path": "/spec/rules/0/backendRefs/0/port" }]),
            "Must have port for Service reference",
        ),
        (
            "production",
            "HTTPRoute",
            json!([{ "op": "copy", "from": "/spec/parentRefs/0", "path": "/spec/parentRefs/-" }]),
            "sectionName",
        ),
        (
            "canary",
            "Gateway",
            json!([{ "op": "replace", "path": "/spec/listeners/0/protocol", "value": "HTTP" }]),
            "tls must not be specified for protocols",
        ),
        (
            "canary",
            "Gateway",
            json!([{ "op": "copy", "from": "/spec/listeners/0", "path": "/spec/listeners/-" }]),
            "Listener name must be unique",
        ),
        (
            "canary",
            "Gateway",
            json!([
                { "op": "replace", "path": "/spec/listeners/0/tls/certificateRefs", "value": [] },
                { "op": "add", "path": "/spec/listeners/0/tls/options", "value": {} },
            ]),
            "certificateRefs or options must be specified",
        ),
        (
            "keda",
            "ScaledObject",
            json!([{ "op": "replace", "path": "/spec/minReplicaCount", "value": 301 }]),
            "minReplicaCount",
        ),
    ] {
        let cluster = tree::cluster(render).unwrap();
        let object = cluster.objects.iter().find(|object| object.kind() == kind).unwrap();
        let mut value: Value = object.0.clone();
        patch(&mut value, &from_value::<json_patch::Patch>(changes).unwrap()).unwrap();
        let told = faults(&kinds, &Object(value));
        assert!(told.iter().any(|fault| fault.contains(says)), "{says}: {told:?}");
        assert!(!told.iter().any(|fault| fault.contains("cannot be evaluated")), "{told:?}");
    }
}

/// A server takes it for a fault as well.
#[test]
fn a_rule_that_cannot_be_evaluated_is_a_fault() {
    let cluster = tree::cluster("canary").unwrap();
    let mut value = cluster.objects.iter().find(|object| object.kind() == "Gateway").unwrap().0.clone();
    value["spec"]["listeners"][0]["tls"].as_object_mut().unwrap().remove("certificateRefs").unwrap();
    let told = faults(&kinds(), &Object(value));
    assert!(told.iter().any(|fault| fault.contains("cannot be evaluated: No such key")), "{told:?}");
}
