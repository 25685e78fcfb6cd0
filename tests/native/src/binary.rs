//! The binary under test, as it is in the working tree now.
//!
//! `cargo test` builds no binary of another package, so one that lies in the target folder may be old. It is
//! built here, once a test process; when it is fresh that takes a moment. `WEIR_BIN` names another one and
//! spares the build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static BINARY: OnceLock<PathBuf> = OnceLock::new();
static HOST: OnceLock<PathBuf> = OnceLock::new();

pub(crate) fn path() -> &'static Path {
    BINARY.get_or_init(|| match std::env::var_os("WEIR_BIN") {
        Some(path) => path.into(),
        None => build("failpoints"),
    })
}

/// One that also serves components. It is a copy, because cargo gives both the same name.
pub(crate) fn host_path() -> &'static Path {
    HOST.get_or_init(|| {
        let built = build("failpoints,wasm");
        let copy = built.with_file_name(format!("weir-host-{}", std::process::id()));
        std::fs::copy(&built, &copy).expect("a copy of the binary");
        let place = built.with_file_name("weir-host");
        // Renamed, it is there at once or not at all, also for tests that run beside this one.
        std::fs::rename(&copy, &place).expect("a place for the binary");
        place
    })
}

/// Builds into the target folder that this test runs from, in its profile.
fn build(features: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<test>
    let place = test.ancestors().nth(2).unwrap();
    let target = place.parent().unwrap();
    let profile = match place.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "weir-devserver", "--bin", "weir", "--profile", profile])
        .args(["--features", features])
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let built = cargo.status().expect("cargo can be run");
    assert!(built.success(), "no binary to test; this fails: {cargo:?}");
    let binary = place.join("weir");
    assert!(binary.exists(), "{cargo:?} left nothing at {}", binary.display());
    binary
}
