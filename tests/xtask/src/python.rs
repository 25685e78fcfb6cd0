//! Virtual environments of Python, kept in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{step::Failure, workspace::Workspace};

/// The interpreter of the environment `name`, which has what the file `requirements` of the tree pins.
pub(crate) fn install(workspace: &Workspace, name: &str, requirements: &str) -> Result<PathBuf, Failure> {
    let path = workspace.path(requirements);
    let pinned =
        fs::read(&path).map_err(|error| Failure::new(format!("cannot read {requirements}: {error}")))?;
    // An environment points to the interpreter that made it, and its packages are built for that one.
    let version = workspace.program("python3").args(["--version"]).read()?;
    let environment = workspace.cache().installed(name, &[&pinned, version.as_bytes()], |directory| {
        workspace.program("python3").args(["-m", "venv"]).args([directory]).run()?;
        workspace
            .program(interpreter(directory))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .args([&path])
            .run()
    })?;
    Ok(interpreter(&environment))
}

fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}
