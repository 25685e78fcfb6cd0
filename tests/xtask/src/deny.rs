//! The dependencies: licences, bans, sources and known vulnerabilities, by cargo-deny and `.deny.toml`.

use std::path::PathBuf;

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

const VERSION: &str = "0.20.2";

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let program = install(workspace)?;
    let deny = || {
        workspace.program(&program).args([
            "--locked",
            "--workspace",
            "--all-features",
            "--config",
            ".deny.toml",
        ])
    };
    deny().args(["check", "licenses", "bans", "sources"]).run()?;
    // Fetching is a step of its own, so that a database out of reach is told from one that finds something.
    match deny().args(["fetch", "db"]).run() {
        Ok(()) => deny().args(["--offline", "check", "advisories"]).run()?,
        Err(failure) => println!(
            "\n!!! ADVISORIES WERE NOT CHECKED: the advisory database could not be fetched.\n\
             !!! {}\n\
             !!! Everything else was. Run `cargo xtask deny` again where it can be reached.\n",
            failure.message
        ),
    }
    Ok(Tally::PASSED)
}

/// The path of cargo-deny, which is compiled at the first call.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf, Failure> {
    let directory = workspace.cache().installed("cargo-deny", &[VERSION.as_bytes()], |directory| {
        workspace
            .cargo()
            .args(["install", "cargo-deny", "--locked", "--version", &format!("={VERSION}"), "--root"])
            .args([directory])
            .run()
    })?;
    let program = directory.join("bin/cargo-deny");
    let found = workspace.program(&program).args(["--version"]).read()?;
    if found.trim() == format!("cargo-deny {VERSION}") {
        return Ok(program);
    }
    Err(Failure::new(format!(
        "{} is `{}`, not {VERSION}: remove {} and run again",
        program.display(),
        found.trim(),
        directory.display()
    )))
}
