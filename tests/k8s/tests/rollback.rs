//! `k8s/rollback`, run against a kubectl that records what it is asked and keeps the state of one route.
#![expect(clippy::unwrap_used, reason = "a fault in a test's own surroundings fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_k8s_tests::tree;

/// Speaks as much kubectl as the script does. Its state is files beside it: `names`, `weights`, `kept`.
const KUBECTL: &str = r#"#!/bin/sh
here=$(dirname "$0")
printf '%s\n' "$*" >>"$here/calls"
case "$*" in
*"get httproute"*backendRefs*.name*) cat "$here/names" ;;
*"get httproute"*backendRefs*.weight*) cat "$here/weights" ;;
*"get httproute"*weights-before-rollback*) cat "$here/kept" ;;
*"get httproute"*observedGeneration*) cat "$here/observed" ;;
*"get httproute"*metadata.generation*) printf 7 ;;
*"get httproute"*conditions*) printf True ;;
*"rollout status"*) test ! -e "$here/unready" ;;
*annotate*) ;;
*"patch httproute"*)
  for last in "$@"; do :; done
  printf '%s' "$last" >"$here/patch"
  test -e "$here/stuck" ||
    grep -o '"value":[0-9][0-9]*' "$here/patch" | cut -d: -f2 | tr '\n' ' ' | sed 's/ $//' >"$here/weights"
  ;;
*) exit 64 ;;
esac
"#;

struct Fake(TempDir);

impl Fake {
    /// A route at 50/50/0 with a backup that is ready.
    fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        fake.put("kubectl", KUBECTL);
        fs::set_permissions(fake.path("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        fake.put("names", "ai-gateway ai-gateway-canary ai-gateway-backup");
        fake.put("weights", "50 50 0");
        fake.put("observed", "7");
        fake.put("kept", "");
        fake.put("calls", "");
        fake
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new("sh")
            .arg(tree::path("k8s/rollback"))
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.0.path().display()))
            .env("PATIENCE", "0")
            .output()
            .unwrap()
    }

    /// What was called, by its first words: `get httproute`, `patch httproute` …
    fn writes(&self) -> Vec<String> {
        let calls = self.text("calls");
        let asked = calls.lines().filter(|call| !call.contains(" get httproute"));
        asked.map(|call| call.split(' ').skip(2).take(3).collect::<Vec<_>>().join(" ")).collect()
    }

    fn patch(&self) -> Value {
        serde_json::from_str(&self.text("patch")).unwrap()
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_traffic_goes_to_a_backup_that_is_ready() {
    let fake = Fake::new();
    let output = fake.run(&[]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(fake.text("weights"), "0 0 100");
    let expected = [
        "rollout status deployment/ai-gateway-backup",
        "annotate httproute ai-gateway",
        "patch httproute ai-gateway",
    ];
    assert_eq!(fake.writes(), expected);
    assert!(fake.text("calls").lines().all(|call| call.starts_with("--namespace ai-services ")));
}

#[test]
fn the_patch_fits_the_route_of_the_canary_and_keeps_what_was() {
    let fake = Fake::new();
    assert!(fake.run(&[]).status.success());
    let cluster = tree::cluster("canary").unwrap();
    let mut route = cluster.objects.into_iter().find(|object| object.kind() == "HTTPRoute").unwrap().0;
    route["metadata"]["annotations"] = json!({});
    let patch: json_patch::Patch = serde_json::from_value(fake.patch()).unwrap();
    json_patch::patch(&mut route, &patch).unwrap();
    let weights: Vec<_> = route["spec"]["rules"][0]["backendRefs"].as_array().unwrap().clone();
    assert_eq!(weights.iter().map(|it| it["weight"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 0, 100]);
    assert_eq!(route["metadata"]["annotations"]["weir.dev/weights-before-rollback"], "50 50 0");

    // A route whose backends have moved is not written by the places they had.
    route["spec"]["rules"][0]["backendRefs"].as_array_mut().unwrap().reverse();
    assert!(json_patch::patch(&mut route, &patch).is_err());
}

#[test]
fn undo_brings_back_the_weights_that_were_kept() {
    let fake = Fake::new();
    fake.put("weights", "0 0 100");
    fake.put("kept", "90 10 0");
    let output = fake.run(&["--undo"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(fake.text("weights"), "90 10 0");
    assert_eq!(
        fake.patch().as_array().unwrap().last(),
        Some(&json!({"op": "remove", "path": "/metadata/annotations/weir.dev~1weights-before-rollback"}))
    );
}

/// A name, what is changed in the surroundings, the arguments, and what must be said.
type Refusal = (&'static str, fn(&Fake), &'static [&'static str], &'static str);

#[test]
fn nothing_is_written_when_it_cannot_be_done() {
    let cases: [Refusal; 6] = [
        ("backup not ready", |fake| fake.put("unready", ""), &[], "is not ready: nothing was changed"),
        ("no backup", |fake| fake.put("names", "ai-gateway ai-gateway-canary b"), &[], "has no backend"),
        ("no weight", |fake| fake.put("weights", "50 50"), &[], "no weight of its own"),
        ("done already", |fake| fake.put("kept", "90 10 0"), &[], "rolled back already"),
        ("nothing to undo", |_| {}, &["--undo"], "nothing to undo"),
        ("unknown argument", |_| {}, &["--now"], "usage"),
    ];
    for (name, change, arguments, says) in cases {
        let fake = Fake::new();
        change(&fake);
        let output = fake.run(arguments);
        assert!(!output.status.success(), "{name}");
        assert!(told(&output).contains(says), "{name}: {}", told(&output));
        assert_eq!(fake.text("patch"), "", "{name}");
    }
}

#[test]
fn a_rollback_that_does_not_happen_is_no_success() {
    let cases: [Refusal; 2] = [
        ("the weights stay", |fake| fake.put("stuck", ""), &[], "has the weights 50 50 0, not 0 0 100"),
        (
            "the Gateway looks at an older route",
            |fake| fake.put("observed", "6"),
            &[],
            "no Gateway has taken the route",
        ),
    ];
    for (name, change, arguments, says) in cases {
        let fake = Fake::new();
        change(&fake);
        let output = fake.run(arguments);
        assert!(!output.status.success() && told(&output).contains(says), "{name}: {}", told(&output));
    }
}

#[test]
fn the_script_can_be_executed() {
    let mode = fs::metadata(tree::path("k8s/rollback")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    assert!(Path::new("/bin/sh").exists());
}
