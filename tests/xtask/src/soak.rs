//! Tenants beside an attacker, by a program of its own, against a gateway that is built for release.

use crate::{
    step::{Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Outcome {
    workspace.cargo().args(["build", "--release", "--locked", "--package", "weir-devserver"]).run()?;
    workspace
        .cargo()
        .env("WEIR_BIN", workspace.path("target/release/weir"))
        .args(["run", "--release", "--locked", "--package", "weir-soak", "--"])
        .args(args)
        .run()?;
    Ok(Tally::PASSED)
}
