//! Clippy with the workspace's lints; a warning is an error here and nowhere else.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    workspace
        .cargo()
        .args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
        .run()?;
    Ok(Tally::PASSED)
}
