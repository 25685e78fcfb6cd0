//! Whatever the checks need: programs of the system are named when they are missing, the rest is installed.

use crate::{
    clients, deny, k8s,
    step::{Failure, Outcome, Tally},
    toolchain, worker,
    workspace::Workspace,
};

/// Programs that come from the system, and what Debian and Ubuntu call them.
const SYSTEM: [(&str, &[&str], &str); 7] = [
    ("git", &["--version"], "git"),
    ("node", &["--version"], "nodejs"),
    ("npm", &["--version"], "npm"),
    ("python3", &["--version"], "python3"),
    ("python3", &["-m", "ensurepip", "--version"], "python3-venv"),
    ("redis-server", &["--version"], "redis-server"),
    ("chromium", &["--version"], "chromium"),
];

pub(crate) fn install(workspace: &Workspace) -> Outcome {
    name_missing(workspace)?;
    k8s::find_kustomize(workspace)?;
    toolchain::add_components(workspace)?;
    toolchain::add_targets(workspace)?;
    deny::install(workspace)?;
    clients::install(workspace)?;
    worker::install(workspace)?;
    k8s::install(workspace)?;
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
