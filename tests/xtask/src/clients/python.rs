//! The suite in Python: a virtual environment in the cache, pytest in the tree.

use std::path::{Path, PathBuf};

use super::{Ended, Gateway};
use crate::{
    python,
    step::{Failure, Tally},
    workspace::Workspace,
};

const REQUIREMENTS: &str = "tests/clients/python/requirements.txt";

/// The interpreter that has the SDK.
pub(super) fn install(workspace: &Workspace) -> Result<PathBuf, Failure> {
    python::install(workspace, "clients-python", REQUIREMENTS)
}

pub(super) fn suite(workspace: &Workspace, python: &Path, gateway: &Gateway) -> Ended {
    let program = workspace
        .program(python)
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--color=no", "--durations=3"])
        .args(["tests/clients/python"])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ended::of("python", program, gateway, count)
}

/// Reads `===== 2 failed, 40 passed in 3.21s =====`.
fn count(line: &str, so_far: Tally) -> Tally {
    let Some((counts, _)) = line.trim_matches(['=', ' ']).split_once(" in ") else { return so_far };
    let (mut tally, mut known) = (Tally::default(), false);
    for part in counts.split(", ") {
        let Some((number, what)) = part.split_once(' ') else { return so_far };
        let Ok(number) = number.parse::<u32>() else { return so_far };
        match what {
            "passed" => tally.passed += number,
            "failed" | "error" | "errors" => tally.failed += number,
            _ => continue,
        }
        known = true;
    }
    if known { tally } else { so_far }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read_from_pytest() {
        let cases = [
            ("========== 40 passed in 3.21s ==========", Tally { passed: 40, failed: 0 }),
            ("= 2 failed, 40 passed, 1 warning in 3.21s (0:00:03) =", Tally { passed: 40, failed: 2 }),
            ("1 error in 0.10s", Tally { passed: 0, failed: 1 }),
            ("E  assert 3 in [1, 2]", Tally::default()),
            ("test_chat.py ....                [ 10%]", Tally::default()),
        ];
        for (line, expected) in cases {
            assert_eq!(count(line, Tally::default()), expected, "{line}");
        }
    }
}
