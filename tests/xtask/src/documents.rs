//! The tasks that the README and the manual name are tasks.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;

use crate::Cli;

/// Every document that tells people what to run.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let beside = ["README.md", "edge/cloudflare/README.md", "edge/spin/README.md", "k8s/README.md"];
    let pages = fs::read_dir(root.join("shared/manual")).unwrap().map(|page| page.unwrap().path());
    pages.chain(beside.map(|path| root.join(path))).collect()
}

/// The words behind each `cargo xtask`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split("cargo xtask ").skip(1).filter_map(|rest| rest.split([' ', '`', '\n', '.', ',', ';']).next())
}

#[test]
fn every_task_that_a_document_names_exists() {
    let cli = Cli::command();
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for task in named(&text).filter(|task| *task != "--help") {
            assert!(cli.find_subcommand(task).is_some(), "{}: cargo xtask {task}", path.display());
            found += 1;
        }
    }
    assert!(found > 15, "{found}");
}
