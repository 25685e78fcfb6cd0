//! Recordings of providers' answers, sent through a running gateway by a program of their own.

use std::path::{self, Path};

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace, folder: &Path) -> Outcome {
    // Programs run in the root, whatever folder we were called in.
    let folder = path::absolute(folder)
        .map_err(|error| Failure::new(format!("no path to {}: {error}", folder.display())))?;
    if !folder.is_dir() {
        return Err(Failure::new(format!("{} is no folder", folder.display())));
    }
    let mut tally = Tally::default();
    workspace
        .cargo()
        .args(["run", "--quiet", "--locked", "--package", "weir-recorded", "--"])
        .args([folder])
        .watch(|line| tally = sums(line).unwrap_or(tally))
        .map_err(|failure| Failure::of_suite(failure.message, tally))?;
    Ok(tally)
}

/// Reads `recordings: 12 same, 0 differ, 3 of dialects not spoken yet`.
fn sums(line: &str) -> Option<Tally> {
    let mut sums = line.strip_prefix("recordings: ")?.split(", ");
    let mut sum = |what: &str| sums.next()?.strip_suffix(what)?.parse().ok();
    Some(Tally { passed: sum(" same")?, failed: sum(" differ")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_recordings_are_read_from_their_last_line() {
        let line = "recordings: 12 same, 1 differ, 3 of dialects not spoken yet";
        assert_eq!(sums(line), Some(Tally { passed: 12, failed: 1 }));
        assert_eq!(sums("same        a.json: chat, whole, 7 bytes"), None);
    }
}
