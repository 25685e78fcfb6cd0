//! What README.md and the alerts tell people to look at is there, and the images are what they are said to be.

use serde_json::Value;
use weir_k8s_tests::tree;

#[test]
fn every_path_that_the_readme_names_exists() {
    let text = tree::text("k8s/README.md").unwrap();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
    let paths = words.map(|word| word.trim_end_matches(['.', '/']));
    let paths: Vec<&str> =
        paths.filter(|word| ["k8s/", "tests/", "edge/spin/"].iter().any(|it| word.starts_with(it))).collect();
    let lost: Vec<_> = paths.iter().filter(|path| !tree::path(path).exists()).collect();
    assert!(lost.is_empty() && paths.len() > 10, "{lost:?} of {}", paths.len());
}

#[test]
fn every_overlay_is_told_in_the_readme() {
    let text = tree::text("k8s/README.md").unwrap();
    for overlay in tree::RENDERS {
        assert!(text.contains(&format!("| `overlays/{overlay}` |")), "{overlay}");
    }
}

#[test]
fn every_alert_leads_to_a_chapter_that_exists() {
    let text = tree::text("k8s/README.md").unwrap();
    let cluster = tree::cluster("production").unwrap();
    let rules = cluster.objects.iter().find(|object| object.kind() == "PrometheusRule").unwrap();
    let alerts = rules.0.pointer("/spec/groups/1/rules").and_then(Value::as_array).unwrap();
    let runbooks = alerts.iter().filter_map(|alert| alert.pointer("/annotations/runbook")?.as_str());
    let chapters: Vec<&str> = runbooks.map(|runbook| runbook.split('"').nth(1).unwrap()).collect();
    assert!(chapters.len() >= 4);
    for chapter in chapters {
        assert!(text.contains(&format!("# {chapter}\n")), "{chapter}");
    }
}

#[test]
fn the_native_image_is_one_static_binary_of_nobodys() {
    let text = tree::text("k8s/images/Containerfile").unwrap();
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    assert!(last.contains("\nUSER 65532:65532\n") && !last.contains("\nRUN "), "{last}");
    for base in text.lines().filter_map(|line| line.strip_prefix("FROM ")).filter(|base| *base != "scratch") {
        assert!(base.contains(":1.95.0-alpine"), "{base} is not pinned");
    }
}

#[test]
fn the_external_secret_makes_what_the_pods_name() {
    let objects = |path: &str| weir_k8s_tests::documents(&tree::text(path).unwrap()).unwrap();
    let external = objects("k8s/secrets/external-secret.yaml").remove(0);
    let promised = objects("k8s/secrets/template.yaml");
    let name = external.pointer("/spec/target/name").unwrap();
    let secret = promised.iter().find(|secret| secret.pointer("/metadata/name") == Some(name)).unwrap();
    for entry in external.pointer("/spec/data").and_then(Value::as_array).unwrap() {
        let key = entry.pointer("/secretKey").and_then(Value::as_str).unwrap();
        assert!(secret.pointer(&format!("/stringData/{key}")).is_some(), "{key}");
    }
}
