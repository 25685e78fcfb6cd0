//! The binary under test, as it is in the working tree now.
//!
//! `cargo test` builds no binary of another package, so one that lies in the target folder may be old. It is
//! built here, once a test process; when it is fresh that takes a moment. `WEIR_BIN` names another one and
//! spares the build. It is one for all tests, those of the host for components too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static BINARY: OnceLock<PathBuf> = OnceLock::new();

pub(crate) fn path() -> &'static Path {
    BINARY.get_or_init(|| match std::env::var_os("WEIR_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Where cargo builds, for this test too.
pub fn target_folder() -> PathBuf {
    place().parent().unwrap().into()
}

/// `<target>/<profile>`, of `<target>/<profile>/deps/<test>` and of a program in it alike.
fn place() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().unwrap();
    if folder.ends_with("deps") { folder.parent().unwrap() } else { folder }.into()
}

/// Builds into the target folder that this test runs from, in its profile.
fn build() -> PathBuf {
    let (place, target) = (place(), target_folder());
    let profile = match place.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "weir-devserver", "--bin", "weir", "--profile", profile])
        .args(["--features", "failpoints,wasm"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let built = cargo.status().expect("cargo can be run");
    assert!(built.success(), "no binary to test; this fails: {cargo:?}");
    let binary = place.join("weir");
    assert!(binary.exists(), "{cargo:?} left nothing at {}", binary.display());
    binary
}
