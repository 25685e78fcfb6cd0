//! Formatting, as `.rustfmt.toml` says.

use crate::{
    step::{Outcome, Tally},
    toolchain,
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    toolchain::add_components(workspace)?;
    workspace.cargo().args(["fmt", "--all", "--check"]).run()?;
    Ok(Tally::PASSED)
}
