//! Where things lie in the tree.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::component::Component;

/// The renders under version control, by name.
pub const RENDERS: [&str; 5] = ["canary", "keda", "local", "production", "spinkube"];

/// A path given from the root.
pub fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(below)
}

/// The text of a file given from the root; in words, why it cannot be read.
pub fn text(below: &str) -> Result<String, String> {
    fs::read_to_string(path(below)).map_err(|error| format!("cannot read {below}: {error}"))
}

/// The render of that name, with the Secrets and the component that belong to it.
pub fn cluster(render: &str) -> Result<Cluster, String> {
    let component = Component::read(&text("edge/spin/spin.toml")?)?;
    Cluster::read(
        &text(&format!("tests/k8s/renders/{render}.yaml"))?,
        &text("k8s/secrets/template.yaml")?,
        component,
    )
}
