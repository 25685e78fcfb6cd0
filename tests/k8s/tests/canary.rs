//! The steps of a canary: each is whole, in its order, and leaves the backup alone.

use serde_json::Value;
use weir_k8s_tests::{documents, rules::RULES, tree};

#[test]
fn every_step_is_a_patch_that_leaves_whole_weights() {
    let rule = RULES.iter().find(|rule| rule.name == "weights_are_whole").unwrap();
    for (step, expected) in [("90-10-0", [90, 10, 0]), ("50-50-0", [50, 50, 0]), ("0-100-0", [0, 100, 0])] {
        let text = tree::text(&format!("k8s/overlays/canary/steps/{step}.yaml")).unwrap();
        let patch = documents(&text).unwrap().remove(0);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let mut cluster = tree::cluster("canary").unwrap();
        let route = cluster.objects.iter_mut().find(|object| object.kind() == "HTTPRoute").unwrap();
        json_patch::patch(&mut route.0, &patch).unwrap();
        let backends = route.0.pointer("/spec/rules/0/backendRefs").and_then(Value::as_array).unwrap();
        let weights: Vec<_> = backends.iter().filter_map(|backend| backend["weight"].as_i64()).collect();
        assert_eq!(weights, expected, "{step}");
        assert_eq!((rule.faults)(&cluster), Vec::<String>::new(), "{step}");
    }
}

#[test]
fn the_canary_is_another_version_than_the_one_that_serves() {
    let cluster = tree::cluster("canary").unwrap();
    let image = |name: &str| {
        let deployment =
            cluster.objects.iter().find(|it| it.kind() == "Deployment" && it.name() == name).unwrap();
        deployment.0["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_ne!(image("ai-gateway"), image("ai-gateway-canary"));
    assert_eq!(image("ai-gateway"), image("ai-gateway-backup"));
}
