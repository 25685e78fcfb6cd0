//! The layout as others would read it: through the specification's own types, and blob by blob.
#![expect(clippy::unwrap_used, reason = "a fault in a test's own data fails the test")]

use std::fs;
use std::path::Path;

use oci_spec::image::ImageManifest;
use serde_json::{Value, json};
use weir_image::{Failed, Found, Layout};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "weir"
version = "0.1.0"
description = "An LLM API gateway"
[variables]
redis_url = { default = "redis://127.0.0.1:6379", secret = true }
config = { default = "" }
[[trigger.http]]
route = "/..."
component = "weir"
[component.weir]
source = "weir.wasm"
allowed_outbound_hosts = ["{{ redis_host }}"]
[component.weir.variables]
config = "{{ config }}"
[component.weir.build]
command = "cargo build"
"#;

/// The least that is a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn layout(manifest: &str, component: &[u8]) -> Layout {
    Layout::of(manifest, component.to_vec(), "0.1.0").unwrap()
}

fn blob(directory: &Path, digest: &str) -> Vec<u8> {
    fs::read(directory.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())).unwrap()
}

#[test]
fn the_same_input_has_the_same_digest_and_another_has_another() {
    let digest = layout(MANIFEST, COMPONENT).digest().to_owned();
    assert_eq!(layout(MANIFEST, COMPONENT).digest(), digest);
    assert_eq!(digest, "sha256:2a600bf532757d47434d4c4c980a04ba0960152da5d914e461411f1f6e3caf89");
    let others = [
        layout(&MANIFEST.replace("\"/...\"", "\"/v1\""), COMPONENT),
        layout(MANIFEST, b"\0asm\x0d\0\x01\0\0"),
    ];
    for other in others {
        assert_ne!(other.digest(), digest);
    }
}

#[test]
fn every_blob_lies_under_its_digest_and_none_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("image");
    let layout = layout(MANIFEST, COMPONENT);
    layout.write(&directory).unwrap();
    let expected = Found { tag: "0.1.0".to_owned(), digest: layout.digest().to_owned() };
    assert_eq!(Found::read(&directory).unwrap(), expected);

    let blobs = directory.join("blobs/sha256");
    let names = fs::read_dir(&blobs).unwrap().map(|it| it.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(names.len(), 4);
    for path in names {
        let bytes = fs::read(&path).unwrap();
        let refused = || Found::read(&directory).map_err(|failed| failed.to_string()).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert!(refused().contains("cannot read"), "{path:?}");
        fs::write(&path, [&bytes[..], b" "].concat()).unwrap();
        assert!(refused().contains("holds something else"), "{path:?}");
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(Found::read(&directory).unwrap(), expected);
}

#[test]
fn what_is_no_layout_of_one_image_is_told() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("image");
    layout(MANIFEST, COMPONENT).write(&directory).unwrap();
    for (file, part, instead, says) in [
        ("oci-layout", "1.0.0", "1.1.0", "version 1.1.0 of the layout"),
        ("index.json", "ref.name", "ref.nam", "the image has no name"),
        ("index.json", "\"size\":", "\"size\":1", "bytes"),
        ("index.json", "\"manifests\":[", "\"manifests\":[],\"x\":[", "0 images in the index"),
        ("blobs/sha256/stray", "", "stray", "nothing names the blob stray"),
    ] {
        let path = directory.join(file);
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, before.replacen(part, instead, 1)).unwrap();
        let told = Found::read(&directory).map_err(|failed| failed.to_string()).unwrap_err();
        assert!(told.contains(says), "{file}: {told}");
        if before.is_empty() { fs::remove_file(&path).unwrap() } else { fs::write(&path, before).unwrap() }
    }
    assert!(Found::read(&directory).is_ok());
    assert!(matches!(Found::read(home.path()), Err(Failed::Spec(_) | Failed::Io(_))));
}

#[test]
fn the_layers_are_those_that_the_shim_looks_for() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("image");
    let layout = layout(MANIFEST, COMPONENT);
    layout.write(&directory).unwrap();
    let image = ImageManifest::from_reader(blob(&directory, layout.digest()).as_slice()).unwrap();
    let kinds: Vec<String> = image.layers().iter().map(|layer| layer.media_type().to_string()).collect();
    assert_eq!(
        kinds,
        ["application/vnd.wasm.content.layer.v1+wasm", "application/vnd.fermyon.spin.application.v1+config"]
    );
    let [component, application] = image.layers().as_slice() else { unreachable!("two kinds, two layers") };
    assert_eq!(blob(&directory, component.digest().as_ref()), COMPONENT);

    let configuration: Value =
        serde_json::from_slice(&blob(&directory, image.config().digest().as_ref())).unwrap();
    assert_eq!(
        configuration,
        json!({
            "architecture": "wasm",
            "os": "Wasip1",
            "config": { "Labels": { "com.fermyon.spin.lockedAppDigest": application.digest().to_string() } },
            "rootfs": { "type": "layers", "diff_ids": [] },
            "history": [],
        })
    );
    let locked: Value = serde_json::from_slice(&blob(&directory, application.digest().as_ref())).unwrap();
    assert_eq!(
        locked,
        json!({
            "spin_lock_version": 0,
            "metadata": {
                "name": "weir", "version": "0.1.0", "description": "An LLM API gateway",
                "trigger": { "type": "http" }, "triggers": {},
            },
            "variables": {
                "config": { "default": "" },
                "redis_url": { "default": "redis://127.0.0.1:6379", "secret": true },
            },
            "triggers": [{
                "id": "trigger-weir", "trigger_type": "http",
                "trigger_config": { "component": "weir", "route": "/..." },
            }],
            "components": [{
                "id": "weir",
                "metadata": { "allowed_outbound_hosts": ["{{ redis_host }}"] },
                "source": { "content_type": "application/wasm", "digest": component.digest().to_string() },
                "config": { "config": "{{ config }}" },
            }],
        })
    );
}

#[test]
fn what_an_image_cannot_carry_is_refused() {
    let cases = [
        ("source = \"weir.wasm\"", "source = \"weir.wasm\"\nfiles = [\"weir.toml\"]", "files"),
        ("spin_manifest_version = 2", "spin_manifest_version = 3", "version 3"),
        ("route = \"/...\"\ncomponent = \"weir\"", "route = \"/...\"\ncomponent = \"other\"", "no component"),
        ("config = { default = \"\" }", "config = {}", "config is neither"),
        (
            "[component.weir.build]",
            "[component.other]\nsource = \"b\"\n[component.weir.build]",
            "2 components",
        ),
    ];
    for (part, instead, says) in cases {
        let manifest = MANIFEST.replace(part, instead);
        let refused = Layout::of(&manifest, COMPONENT.to_vec(), "0.1.0").map(|it| it.digest().to_owned());
        let told = refused.map_err(|failed| failed.to_string());
        assert!(told.as_ref().is_err_and(|why| why.contains(says)), "{instead}: {told:?}");
    }
}

#[test]
fn the_manifest_of_the_component_is_one_that_an_image_can_carry() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../edge/spin/spin.toml");
    layout(&fs::read_to_string(manifest).unwrap(), COMPONENT);
}

#[test]
fn another_image_is_never_written_over() {
    let home = tempfile::tempdir().unwrap();
    let layout = layout(MANIFEST, COMPONENT);
    assert!(matches!(layout.write(home.path()), Err(Failed::Io(_))));
}
