//! Rustdoc: no broken link, no warning.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    workspace
        .cargo()
        .args(["doc", "--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(Tally::PASSED)
}
