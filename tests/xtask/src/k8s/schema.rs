//! The schemas of Kubernetes, of several versions, and of the custom kinds: a virtual environment in the
//! cache, the check in the tree.

use std::path::{Path, PathBuf};

use crate::{
    python,
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

const REQUIREMENTS: &str = "tests/k8s/schemas/requirements.txt";

const CHECK: &str = "tests/k8s/schemas/check.py";

/// What the check is given before the files: the custom kinds, and what it must refuse.
const AGAINST: [&str; 2] = ["tests/k8s/crds", "tests/k8s/schemas/refused.yaml"];

/// What no overlay holds, and a cluster would.
const SECRETS: [&str; 2] = ["k8s/secrets/external-secret.yaml", "k8s/secrets/template.yaml"];

/// The interpreter that has the schemas.
pub(crate) fn install(workspace: &Workspace) -> Result<PathBuf, Failure> {
    python::install(workspace, "kubernetes-schemas", REQUIREMENTS)
}

pub(super) fn check(workspace: &Workspace, python: &Path, rendered: &[PathBuf]) -> Outcome {
    let mut tally = Tally::default();
    workspace
        .program(python)
        .args([CHECK])
        .args(AGAINST)
        .args(rendered)
        .args(SECRETS)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .watch(|line| tally = count(line).unwrap_or(tally))
        .map_err(|failure| Failure::of_suite(failure.message, tally))?;
    if tally.passed == 0 {
        return Err(Failure::new("no object was checked"));
    }
    Ok(tally)
}

/// Reads `115 passed, 0 failed`.
fn count(line: &str) -> Option<Tally> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_counted_and_no_other() {
        let cases = [
            ("115 passed, 2 failed", Some(Tally { passed: 115, failed: 2 })),
            ("FAILED a: 3 passed, none failed", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(count(line), expected, "{line}");
        }
    }
}
