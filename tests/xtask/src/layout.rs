//! The top level of the tree, which is planned: a name too many or too few is a failure.

use std::collections::BTreeSet;

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

const TOP_LEVEL: [&str; 9] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "devserver", "edge", "k8s", "shared", "tests"];

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let tracked = workspace.program("git").args(["ls-files", "-z"]).read()?;
    let faults = faults_of(tracked.split_terminator('\0'));
    if faults.is_empty() {
        println!("the top level is as planned");
        return Ok(Tally::PASSED);
    }
    Err(Failure::new(faults.join("; ")))
}

fn faults_of<'a>(tracked: impl Iterator<Item = &'a str>) -> Vec<String> {
    let found: BTreeSet<&str> =
        tracked.filter_map(|path| path.split('/').next()).filter(|name| !name.starts_with('.')).collect();
    let planned = BTreeSet::from(TOP_LEVEL);
    let extra = found.difference(&planned).map(|name| format!("`{name}` does not belong at the top level"));
    let missing = planned.difference(&found).map(|name| format!("`{name}` is missing or not tracked by git"));
    extra.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planned_tree_with_dotfiles_has_no_fault() {
        let tracked = [".ci/run", "edge/spin/Cargo.toml"].into_iter().chain(TOP_LEVEL);
        assert_eq!(faults_of(tracked), Vec::<String>::new());
    }

    #[test]
    fn a_name_too_many_and_one_too_few_are_told() {
        let tracked = TOP_LEVEL.into_iter().filter(|name| *name != "k8s").chain(["notes.md"]);
        assert_eq!(
            faults_of(tracked),
            ["`notes.md` does not belong at the top level", "`k8s` is missing or not tracked by git"]
        );
    }
}
