//! Clippy with the workspace's lints; a warning is an error here and nowhere else.

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
    Ok(Tally::PASSED)
}
