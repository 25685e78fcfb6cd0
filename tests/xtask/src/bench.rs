//! The benches: built for release, run by their own program.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Outcome {
    workspace
        .cargo()
        .args(["run", "--release", "--locked", "--package", "weir-bench", "--"])
        .args(args)
        .run()?;
    Ok(Tally::PASSED)
}
