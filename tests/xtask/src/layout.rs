//! What lies where: the top level of the tree, which is planned, and the rooms of the core, which import downwards.

mod imports;
mod names;
mod rooms;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

const TOP_LEVEL: [&str; 9] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "devserver", "edge", "k8s", "shared", "tests"];

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let tracked = workspace.program("git").args(["ls-files", "-z"]).read()?;
    let mut faults = faults_of(tracked.split_terminator('\0'));
    let core = imports::Core::read(&sources(&workspace.path("shared/src"))?).map_err(Failure::new)?;
    faults.extend(rooms::faults(&core).into_iter().map(|fault| format!("shared/src/{fault}")));
    faults.extend(names::faults(&core));
    if faults.is_empty() {
        println!(
            "the top level is as planned, and the core's {} imports point downwards",
            core.imports.len()
        );
        return Ok(Tally::PASSED);
    }
    Err(Failure::new(faults.join("\n")))
}

/// The text of every file in Rust, by its path below `folder`.
fn sources(folder: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let unreadable = |path: &Path, error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let (mut found, mut waiting) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at).map_err(|error| unreadable(&at, error))? {
            let path = entry.map_err(|error| unreadable(&at, error))?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
                let below = path.strip_prefix(folder).unwrap_or(&path);
                found.insert(below.to_string_lossy().replace('\\', "/"), text);
            }
        }
    }
    Ok(found)
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
