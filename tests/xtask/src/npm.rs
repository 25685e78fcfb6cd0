//! Packages of npm, by a lock file of ours, in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{step::Failure, workspace::Workspace};

/// Installs what `folder` locks; gives the directory that holds `node_modules`.
pub(crate) fn install(workspace: &Workspace, name: &str, folder: &str) -> Result<PathBuf, Failure> {
    let read = |name: &str| {
        fs::read(workspace.path(folder).join(name))
            .map_err(|error| Failure::new(format!("cannot read {folder}/{name}: {error}")))
    };
    let (package, lock) = (read("package.json")?, read("package-lock.json")?);
    workspace.cache().installed(name, &[&package, &lock], |directory| {
        for (name, bytes) in [("package.json", &package), ("package-lock.json", &lock)] {
            fs::write(directory.join(name), bytes)
                .map_err(|error| Failure::new(format!("cannot write {name}: {error}")))?;
        }
        // Not `ci`: it refuses a lock file that lacks packages for systems that are not this one, and the registry
        // does not have them all. The warning would be about the system's node, which only runs npm.
        workspace
            .program("npm")
            .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .directory(directory)
            .run()
    })
}

/// The node that the lock file pins, where npm has one for this machine; else the system's.
pub(crate) fn node(installed: &Path) -> PathBuf {
    let pinned = installed.join("node_modules/.bin/node");
    if pinned.exists() { pinned } else { "node".into() }
}
