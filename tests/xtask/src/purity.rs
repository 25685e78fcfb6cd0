//! The core stays a core: no crate in its tree that does I/O, and no static in its sources.
//!
//! Calls to clocks, the environment and randomness are clippy's business (`shared/.clippy.toml`); a static is
//! an item, which clippy has no list for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

/// Crates that bring a runtime, a socket, a clock or a source of randomness.
const BANNED: [&str; 18] = [
    "async-std",
    "axum",
    "fastrand",
    "getrandom",
    "hyper",
    "hyper-util",
    "js-sys",
    "mio",
    "once_cell",
    "rand",
    "rand_core",
    "reqwest",
    "smol",
    "spin-sdk",
    "tokio",
    "wasm-bindgen",
    "wasmtime",
    "worker",
];

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let tree = workspace
        .cargo()
        .args(["tree", "--locked", "--package", "weir", "--edges", "normal", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}"])
        .read()?;
    let crates = banned_in(&tree).into_iter().map(|name| format!("the core's tree holds `{name}`"));

    let mut statics = Vec::new();
    for path in sources(&workspace.path("shared/src"))? {
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let shown = path.strip_prefix(workspace.root()).unwrap_or(&path).display();
        statics.extend(statics_in(&text).map(|line| format!("{shown}:{line} is a static")));
    }

    let faults: Vec<String> = crates.chain(statics).collect();
    if faults.is_empty() {
        println!("the core is pure");
        return Ok(Tally::PASSED);
    }
    Err(Failure::new(faults.join("; ")))
}

fn banned_in(tree: &str) -> Vec<&str> {
    let mut found: Vec<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| BANNED.contains(name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The numbers of the lines on which a static starts.
fn statics_in(source: &str) -> impl Iterator<Item = usize> {
    source.lines().enumerate().filter(|(_, line)| declares_static(line)).map(|(index, _)| index + 1)
}

fn declares_static(line: &str) -> bool {
    let line = line.trim_start();
    let item =
        line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|c| c != ' ').trim_start());
    item.starts_with("static ") || line.contains("thread_local!") && !line.starts_with("//")
}

fn sources(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_crate_in_the_tree_is_told_once() {
        let tree = "weir v0.1.0 (/x)\nbytes v1.12.1\ntokio v1.54.0\ntokio v1.54.0 (*)\ntokio-stream v0.1.1\n";
        assert_eq!(banned_in(tree), ["tokio"]);
    }

    #[test]
    fn statics_are_told_from_lifetimes_and_comments() {
        let source = "static A: u8 = 0;\n    pub(crate) static B: u8 = 0;\nfn f() -> &'static str\n\
                      // static D\nconst C: &'static str = \"\";\nstd::thread_local! {\npub static E: u8 = 0;\n";
        assert_eq!(statics_in(source).collect::<Vec<_>>(), [1, 2, 6, 7]);
    }
}
