//! The suite in Node: `node --test` on copies of the suite beside what that installed.

use std::{
    fs, io,
    os::unix,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Ended, Gateway};
use crate::{
    npm,
    step::{Failure, Tally},
    workspace::Workspace,
};

const SUITE: &str = "tests/clients/node";

/// The directory that holds `node_modules`.
pub(super) fn install(workspace: &Workspace) -> Result<PathBuf, Failure> {
    npm::install(workspace, "clients-node", SUITE)
}

pub(super) fn suite(workspace: &Workspace, installed: &Path, gateway: &Gateway) -> Ended {
    let staged = match stage(&workspace.path(SUITE), installed) {
        Ok(staged) => staged,
        Err(error) => {
            return Ended::of_nothing("node", Failure::new(format!("cannot stage {SUITE}: {error}")));
        }
    };
    let program = workspace
        .program(npm::node(installed))
        .args(["--test", "--test-reporter=spec", "--test-timeout=60000"])
        .directory(staged.path());
    Ended::of("node", program, gateway, count)
}

/// A directory with the suite and `node_modules` side by side: modules are looked up from where the importing
/// file really is, and nothing is installed into the tree.
fn stage(suite: &Path, installed: &Path) -> io::Result<TempDir> {
    let staged = TempDir::with_prefix("weir-clients-node-")?;
    for entry in fs::read_dir(suite)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, staged.path().join(name))?;
        }
    }
    unix::fs::symlink(installed.join("node_modules"), staged.path().join("node_modules"))?;
    Ok(staged)
}

/// Reads `ℹ pass 12` and `ℹ fail 0`.
fn count(line: &str, so_far: Tally) -> Tally {
    let number = |what: &str| line.strip_prefix(what).and_then(|count| count.parse().ok());
    match (number("ℹ pass "), number("ℹ fail ")) {
        (Some(passed), _) => Tally { passed, ..so_far },
        (_, Some(failed)) => Tally { failed, ..so_far },
        (None, None) => so_far,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read_from_node() {
        let lines = ["✔ chats (3ms)", "ℹ tests 14", "ℹ suites 0", "ℹ pass 12", "ℹ fail 2", "ℹ cancelled 0"];
        let tally = lines.into_iter().fold(Tally::default(), |tally, line| count(line, tally));
        assert_eq!(tally, Tally { passed: 12, failed: 2 });
    }

    #[test]
    fn the_suite_is_staged_beside_its_modules() {
        let (suite, installed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(suite.path().join("chat.test.mjs"), "").unwrap();
        fs::create_dir(installed.path().join("node_modules")).unwrap();
        let staged = stage(suite.path(), installed.path()).unwrap();
        assert!(staged.path().join("chat.test.mjs").is_file());
        assert!(staged.path().join("node_modules").is_dir());
    }
}
