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

/// What the Containerfile copies and builds is there, and its build is one that CI makes.
#[test]
fn the_native_image_is_built_of_what_is_there() {
    let text = tree::text("k8s/images/Containerfile").unwrap();
    let kept = tree::text("k8s/images/Containerfile.dockerignore").unwrap();
    let kept: Vec<&str> = kept.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let reads = |path: &str| kept.iter().any(|kept| path == *kept || path.starts_with(&format!("{kept}/")));
    for path in &kept {
        assert!(tree::path(path).exists(), "{path} is kept, and is not there");
    }

    let steps = |verb: &'static str| text.lines().filter_map(move |line| line.strip_prefix(verb));
    let copied: Vec<&str> = steps("COPY ").filter(|step| !step.starts_with("--from")).collect();
    assert_eq!(copied, [". ."], "another path: check that it is there");

    // Cargo reads every member of the workspace, whatever it is to build.
    let workspace: toml::Table = tree::text("Cargo.toml").unwrap().parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    for member in ["Cargo.toml", "Cargo.lock"].into_iter().chain(members.iter().filter_map(|it| it.as_str()))
    {
        assert!(reads(member), "{member} is not in the context");
    }

    let build = steps("RUN cargo ").next().unwrap();
    let words: Vec<&str> = build.split(' ').collect();
    let behind = |flag: &str| words.iter().skip_while(|word| **word != flag).nth(1).copied().unwrap();
    let (package, binary) = (behind("--package"), behind("--bin"));
    let manifest: toml::Table = tree::text("devserver/Cargo.toml").unwrap().parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some(package));
    assert_eq!(manifest["bin"][0]["name"].as_str(), Some(binary));
    assert_eq!(build, format!("build --locked --release --package {package} --bin {binary}"));
    let in_ci = tree::text("tests/xtask/src/clients.rs").unwrap();
    assert!(in_ci.contains(&format!(
        "[\"build\", \"--locked\", \"--package\", \"{package}\", \"--bin\", \"{binary}\"]"
    )));
    let from_build = steps("COPY --from=build ").collect::<Vec<_>>();
    assert_eq!(from_build, [format!("/weir/target/release/{binary} /{binary}")]);
    assert_eq!(steps("ENTRYPOINT ").collect::<Vec<_>>(), [format!("[\"/{binary}\"]")]);
    assert_eq!(steps("WORKDIR ").collect::<Vec<_>>(), ["/weir"]);
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
