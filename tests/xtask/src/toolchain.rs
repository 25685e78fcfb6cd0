//! What rustup has to hold. A minimal installation has neither clippy nor rustfmt, and none has the targets of
//! the deployed artefacts; every step that uses one asks for it here, which costs nothing once it is there.

use crate::{step::Failure, workspace::Workspace};

/// The targets of the deployed artefacts beside the native one.
pub(crate) const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];

const COMPONENTS: [&str; 2] = ["clippy", "rustfmt"];

pub(crate) fn add_targets(workspace: &Workspace) -> Result<(), Failure> {
    add(workspace, "target", &TARGETS)
}

pub(crate) fn add_components(workspace: &Workspace) -> Result<(), Failure> {
    add(workspace, "component", &COMPONENTS)
}

fn add(workspace: &Workspace, kind: &str, wanted: &[&str]) -> Result<(), Failure> {
    let installed = workspace.program("rustup").args([kind, "list", "--installed"]).read()?;
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !lists(&installed, name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    workspace.program("rustup").args([kind, "add"]).args(missing).run()
}

/// rustup lists a component together with its host: `clippy-x86_64-unknown-linux-gnu`.
fn lists(installed: &str, name: &str) -> bool {
    installed
        .lines()
        .any(|line| line == name || line.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_found_with_its_host_and_a_target_as_it_is() {
        let installed = "cargo-x86_64-unknown-linux-gnu\nclippy-x86_64-unknown-linux-gnu\nwasm32-wasip2\n";
        assert!(lists(installed, "clippy"));
        assert!(lists(installed, "wasm32-wasip2"));
        assert!(!lists(installed, "wasm32-wasip"));
        assert!(!lists(installed, "rustfmt"));
    }
}
