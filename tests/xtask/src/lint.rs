//! Clippy with the workspace's lints; a warning is an error here and nowhere else.
//!
//! What is compiled for one target alone is looked at for that target.

use crate::{
    step::{Outcome, Tally},
    toolchain,
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    toolchain::add_components(workspace)?;
    workspace
        .cargo()
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
        .run()?;
    toolchain::add_targets(workspace)?;
    for (package, target) in [("weir-spin", "wasm32-wasip2"), ("weir-worker", "wasm32-unknown-unknown")] {
        workspace
            .cargo()
            .args(["clippy", "--package", package, "--target", target, "--locked"])
            .args(["--", "-D", "warnings"])
            .run()?;
    }
    Ok(Tally::PASSED)
}
