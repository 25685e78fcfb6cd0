//! The autoscalers in a flood: the model prints its table.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    workspace.cargo().args(["run", "--quiet", "--locked", "--package", "weir-hpa"]).run()?;
    Ok(Tally::PASSED)
}
