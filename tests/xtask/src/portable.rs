//! The core builds for every target it is deployed on, with a platform of each kind: one whose futures are
//! `Send` and one whose are not.

use crate::{
    step::{Outcome, Tally},
    toolchain,
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    toolchain::add_targets(workspace)?;
    let targets = toolchain::TARGETS.iter().flat_map(|target| ["--target", target]);
    workspace
        .cargo()
        .args(["build", "--locked", "--package", "weir", "--package", "weir-portability"])
        .args(targets)
        .run()?;
    Ok(Tally::PASSED)
}
