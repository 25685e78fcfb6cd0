//! Whatever the checks need: programs of the system are named when they are missing, the rest is installed.

use crate::{
    clients, deny,
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

/// The targets of the deployed artefacts beside the native one.
pub(crate) const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-unknown-unknown"];

/// Programs that come from the system, and what Debian and Ubuntu call them.
const SYSTEM: [(&str, &[&str], &str); 5] = [
    ("git", &["--version"], "git"),
    ("node", &["--version"], "nodejs"),
    ("npm", &["--version"], "npm"),
    ("python3", &["--version"], "python3"),
    ("python3", &["-m", "ensurepip", "--version"], "python3-venv"),
];

pub(crate) fn install(workspace: &Workspace) -> Outcome {
    name_missing(workspace)?;
    add_targets(workspace)?;
    deny::install(workspace)?;
    clients::install(workspace)?;
    Ok(Tally::PASSED)
}

fn name_missing(workspace: &Workspace) -> Result<(), Failure> {
    let missing: Vec<&str> = SYSTEM
        .iter()
        .filter(|(program, args, _)| !workspace.program(program).args(*args).works())
        .map(|(.., package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    Err(Failure::new(format!(
        "missing: {packages}. Install with `apt-get install {packages}` (Debian, Ubuntu; names may differ \
         elsewhere)"
    )))
}

fn add_targets(workspace: &Workspace) -> Result<(), Failure> {
    let rustup = || workspace.program("rustup");
    let installed = rustup().args(["target", "list", "--installed"]).read()?;
    let missing: Vec<&str> =
        TARGETS.into_iter().filter(|target| !installed.lines().any(|line| line == *target)).collect();
    if missing.is_empty() {
        println!("targets: {} already there", TARGETS.join(", "));
        return Ok(());
    }
    rustup().args(["target", "add"]).args(missing).run()
}
