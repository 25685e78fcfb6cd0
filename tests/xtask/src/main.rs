//! One door: `cargo xtask ci` sets up and checks everything, for people and for CI alike.
//!
//! A machine needs rustup, node, npm, python3, kubectl and git. The other programs the checks use are
//! installed by [`setup`] into `~/.cache/weir`, never into the tree, and never twice.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a task runner is for")]

mod bench;
mod beside;
mod cache;
mod chaos;
mod clients;
mod component;
mod deny;
mod docs;
#[cfg(test)]
mod documents;
mod fmt;
mod hpa;
mod image;
mod k8s;
mod layout;
mod lint;
mod npm;
mod portable;
mod program;
mod purity;
mod python;
mod recorded;
mod setup;
mod soak;
mod step;
mod suite;
mod toolchain;
mod worker;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{step::Step, workspace::Workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Sets up, checks and measures Weir")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Every check and suite, cheapest first, until the first one that fails.
    Ci,
    /// Nothing but what was planned lies at the top level, and the core's rooms import downwards.
    Layout,
    /// Sources are formatted.
    Fmt,
    /// The core holds no runtime crate and no static.
    Purity,
    /// Install what the checks need: targets, cargo-deny, the clients' SDKs, Kubernetes' schemas, what builds
    /// and runs the Worker.
    Setup,
    /// Licences, bans, sources and advisories of the dependencies.
    Deny,
    /// Clippy, without a warning.
    Lint,
    /// Rustdoc, without a warning.
    Docs,
    /// The core builds for every target it is deployed on.
    Portable,
    /// What is deployed on edges: the component, its image, the manifests, the Worker.
    Edges,
    /// The Spin component, and whether it is small enough.
    Component,
    /// Write the Spin component as an OCI layout into the target directory.
    Image,
    /// The manifests: rendered as they are under version control, known to Kubernetes, sound together.
    K8s {
        /// Take the renders as they are now, to be read in `git diff`.
        #[arg(long)]
        renew: bool,
    },
    /// The Cloudflare Worker: `cargo xtask worker build | dev | deploy --dry-run`.
    Worker {
        #[command(subcommand)]
        task: worker::Task,
    },
    /// Build the Rust tests, and run none.
    Build,
    /// The Rust tests, the conformance corpus among them.
    Test,
    /// The corpus alone: `cargo xtask conformance [PART OF A NAME]`.
    Conformance { cases: Option<String> },
    /// The official OpenAI SDKs against a running gateway.
    Clients,
    /// Recordings of providers' answers (NAME.chunks.txt with an event's JSON a line, NAME.json) through a running
    /// gateway, in several cuttings: `cargo xtask recorded DIR`.
    Recorded { folder: PathBuf },
    /// What the autoscalers of k8s/ do in a flood: the table of its README.
    Hpa,
    /// Ten tenants while an eleventh attacks: `cargo xtask soak [--minutes 10] [--on native]`. No part of `ci`.
    Soak {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every part fails in every way under a steady load: `cargo xtask chaos [--only Redis] [--at-once 3]`. A few of
    /// them run with the tests.
    Chaos {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure: `cargo xtask bench [ARGS…]` hands ARGS on to weir-bench.
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

impl Task {
    fn steps(&self) -> Vec<Step> {
        match self {
            Self::Ci => {
                // Most of their time is one thread's, at linking for an edge.
                let [edges_begin, edges] = beside::beside("edges");
                vec![
                    Step::new("layout", layout::check),
                    Step::new("fmt", fmt::check),
                    Step::new("setup", setup::install),
                    Step::new("purity", purity::check),
                    Step::new("deny", deny::check),
                    edges_begin,
                    Step::new("lint", lint::check),
                    Step::new("docs", docs::check),
                    Step::new("portable", portable::check),
                    Step::new("build", suite::build),
                    edges,
                    Step::new("test", suite::run),
                    Step::new("clients", clients::run),
                ]
            }
            Self::Edges => vec![
                Step::new("component", component::check),
                Step::new("image", image::write),
                Step::new("k8s", |workspace| k8s::check(workspace, k8s::Goldens::Compare)),
                Step::new("worker", worker::check),
            ],
            Self::Layout => vec![Step::new("layout", layout::check)],
            Self::Fmt => vec![Step::new("fmt", fmt::check)],
            Self::Purity => vec![Step::new("purity", purity::check)],
            Self::Setup => vec![Step::new("setup", setup::install)],
            Self::Deny => vec![Step::new("deny", deny::check)],
            Self::Lint => vec![Step::new("lint", lint::check)],
            Self::Docs => vec![Step::new("docs", docs::check)],
            Self::Portable => vec![Step::new("portable", portable::check)],
            Self::Component => vec![Step::new("component", component::check)],
            Self::Image => {
                vec![Step::new("component", component::check), Step::new("image", image::write)]
            }
            Self::K8s { renew } => {
                let goldens = if *renew { k8s::Goldens::Renew } else { k8s::Goldens::Compare };
                vec![
                    Step::new("k8s", move |workspace| k8s::check(workspace, goldens)),
                    Step::new("k8s rules", k8s::check_rules),
                ]
            }
            Self::Worker { task } => {
                let task = task.clone();
                vec![Step::new("worker", move |workspace| worker::run(workspace, &task))]
            }
            Self::Build => vec![Step::new("build", suite::build)],
            Self::Test => vec![Step::new("test", suite::run)],
            Self::Clients => vec![Step::new("clients", clients::run)],
            Self::Conformance { cases } => {
                let cases = cases.clone();
                vec![Step::new("conformance", move |workspace| suite::run_cases(workspace, cases.as_deref()))]
            }
            Self::Recorded { folder } => {
                let folder = folder.clone();
                vec![Step::new("recorded", move |workspace| recorded::run(workspace, &folder))]
            }
            Self::Hpa => vec![Step::new("hpa", hpa::run)],
            Self::Soak { args } => {
                let args = args.clone();
                vec![Step::new("soak", move |workspace| soak::run(workspace, &args))]
            }
            Self::Chaos { args } => {
                let args = args.clone();
                vec![Step::new("chaos", move |workspace| chaos::run(workspace, &args))]
            }
            Self::Bench { args } => {
                let args = args.clone();
                vec![Step::new("bench", move |workspace| bench::run(workspace, &args))]
            }
        }
    }
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    match Workspace::find() {
        Ok(workspace) => step::run_all(task.steps(), &workspace),
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::FAILURE
        }
    }
}
