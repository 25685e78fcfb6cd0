//! Rustdoc: no broken link, no warning.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

/// The binary `weir` and the core's library share a name, and with it a directory of rustdoc's: documented in
/// one go they would overwrite each other, so the one that people read comes last.
const ROUNDS: [&[&str]; 2] =
    [&["--package", "weir-devserver"], &["--workspace", "--exclude", "weir-devserver"]];

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    for packages in ROUNDS {
        workspace
            .cargo()
            .args(["doc", "--no-deps", "--locked"])
            .args(packages)
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()?;
    }
    Ok(Tally::PASSED)
}
