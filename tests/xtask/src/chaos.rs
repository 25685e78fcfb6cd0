//! Faults of every part, by a program of its own, against the gateways that tests run.

use crate::{
    python,
    step::{Outcome, Tally},
    workspace::Workspace,
};

/// What turns a process's clock.
const REQUIREMENTS: &str = "tests/chaos/requirements.txt";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Outcome {
    let python = python::install(workspace, "faketime", REQUIREMENTS)?;
    let find = "import libfaketime, pathlib; \
                print(next(pathlib.Path(libfaketime.__file__).parent.rglob('libfaketime.so.1')))";
    let library = workspace.program(python).args(["-c", find]).read()?;
    workspace
        .cargo()
        .env("WEIR_FAKETIME", library.trim())
        .args(["run", "--locked", "--package", "weir-chaos", "--"])
        .args(args)
        .run()?;
    Ok(Tally::PASSED)
}
