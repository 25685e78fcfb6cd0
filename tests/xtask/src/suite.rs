//! The Rust tests: units, properties, documentation, everything in the workspace.

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

/// Builds all that [`run`] runs.
pub(crate) fn build(workspace: &Workspace) -> Outcome {
    workspace.cargo().args(["test", "--locked", "--workspace", "--no-run"]).run()?;
    Ok(Tally::PASSED)
}

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    test(workspace, &["--workspace"])
}

/// The tests of one package.
pub(crate) fn run_package(workspace: &Workspace, package: &str) -> Outcome {
    test(workspace, &["--package", package])
}

/// The conformance corpus; of its cases those whose name contains `part`.
pub(crate) fn run_cases(workspace: &Workspace, part: Option<&str>) -> Outcome {
    let corpus = ["--package", "weir-conformance", "--test", "conformance"];
    let arguments: Vec<&str> = corpus.into_iter().chain(part).collect();
    test(workspace, &arguments)
}

fn test(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    let mut tally = Tally::default();
    workspace
        .cargo()
        .args(["test", "--locked", "--no-fail-fast"])
        .args(arguments)
        .watch(|line| tally = tally + result_of(line).unwrap_or_default())
        .map_err(|failure| Failure::of_suite(failure.message, tally))?;
    Ok(tally)
}

/// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
fn result_of(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| -> Option<u32> {
        counts.split("; ").find_map(|part| part.strip_suffix(what)).and_then(|count| count.parse().ok())
    };
    Some(Tally { passed: count(" passed")?, failed: count(" failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_libtest() {
        let ok =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_of(ok), Some(Tally { passed: 12, failed: 0 }));
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(result_of(bad), Some(Tally { passed: 3, failed: 2 }));
        assert_eq!(result_of("test config::tests::faults ... ok"), None);
    }
}
