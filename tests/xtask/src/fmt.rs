//! Formatting, as `.rustfmt.toml` says.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    workspace.cargo().args(["fmt", "--all", "--check"]).run()?;
    Ok(Tally::PASSED)
}
