//! The Cloudflare Worker: built, run here, packed for an account.
//!
//! worker-build would download what it needs; everything is pinned here instead, and it is told where that is.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use flate2::{Compression, write::GzEncoder};

use crate::{
    npm,
    program::Program,
    step::{Failure, Outcome, Tally},
    toolchain,
    workspace::Workspace,
};

const CRATE: &str = "edge/cloudflare";

const WORKER_BUILD: &str = "0.8.7";

/// As in the Worker's Cargo.toml.
const WASM_BINDGEN: &str = "0.2.130";

/// Bytes of all that is uploaded, compressed with gzip: 1.4 MiB.
const LARGEST: usize = 1434 << 10;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Task {
    /// Build it, and print what it weighs.
    Build,
    /// Run it on this machine: `wrangler dev`, with what follows handed on.
    Dev {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Upload it, or with `--dry-run` only pack it: `wrangler deploy`, with what follows handed on.
    Deploy {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Installs what builds and runs it into the cache.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    tools(workspace).map(drop)
}

pub(crate) fn run(workspace: &Workspace, task: &Task) -> Outcome {
    let tools = tools(workspace)?;
    build(workspace, &tools)?;
    match task {
        Task::Build => {}
        Task::Dev { args } => wrangler(workspace, &tools, "dev", args).run()?,
        Task::Deploy { args } => wrangler(workspace, &tools, "deploy", args).run()?,
    }
    Ok(Tally::PASSED)
}

/// Builds and packs it, as CI does.
pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let packed = tempfile::tempdir().map_err(|error| Failure::new(format!("no directory: {error}")))?;
    let target = packed.path().display().to_string();
    run(workspace, &Task::Deploy { args: vec!["--dry-run".into(), "--outdir".into(), target] })
}

struct Tools {
    worker_build: PathBuf,
    wasm_bindgen: PathBuf,
    npm: PathBuf,
}

fn tools(workspace: &Workspace) -> Result<Tools, Failure> {
    toolchain::add_targets(workspace)?;
    let cargo_install = |package: &str, version: &str, lock: &[&str]| {
        workspace.cache().installed(package, &[version.as_bytes()], |directory| {
            workspace
                .cargo()
                .args(["install", package, "--version", &format!("={version}")])
                .args(lock)
                .args([Path::new("--root"), directory])
                .run()
        })
    };
    let worker_build = cargo_install("worker-build", WORKER_BUILD, &["--locked"])?;
    // The lock file that comes with it is older than what it has to be compiled with.
    let wasm_bindgen = cargo_install("wasm-bindgen-cli", WASM_BINDGEN, &[])?;
    Ok(Tools {
        worker_build: worker_build.join("bin/worker-build"),
        wasm_bindgen: wasm_bindgen.join("bin/wasm-bindgen"),
        npm: npm::install(workspace, "workerd", "tests/workerd")?,
    })
}

fn build(workspace: &Workspace, tools: &Tools) -> Result<(), Failure> {
    let npm = |name: &str| tools.npm.join("node_modules/.bin").join(name);
    workspace
        .program(&tools.worker_build)
        .args(["--release", "--", "--locked"])
        .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
        .env("WASM_OPT_BIN", npm("wasm-opt"))
        .env("ESBUILD_BIN", npm("esbuild"))
        .directory(&workspace.path(CRATE))
        .run()?;
    let size = weigh(&workspace.path(CRATE).join("build"))
        .map_err(|error| Failure::new(format!("cannot weigh what was built: {error}")))?;
    println!("the Worker's tools: {}", tools.npm.display());
    println!("the Worker: {} KiB with gzip, of at most {} KiB", size.div_ceil(1024), LARGEST / 1024);
    if size > LARGEST {
        return Err(Failure::new(format!("the Worker has {size} bytes with gzip, above {LARGEST}")));
    }
    Ok(())
}

/// Bytes of the code in `directory`, each file compressed by itself, as it is uploaded.
fn weigh(directory: &Path) -> std::io::Result<usize> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "js" || ending == "wasm") {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(&fs::read(&path)?)?;
            sum += packed.finish()?.len();
        }
    }
    Ok(sum)
}

/// wrangler asks for a newer node than many systems have.
fn wrangler(workspace: &Workspace, tools: &Tools, task: &str, args: &[String]) -> Program {
    let script = tools.npm.join("node_modules/wrangler/bin/wrangler.js");
    workspace
        .program(npm::node(&tools.npm))
        .args([script.as_os_str(), task.as_ref()])
        .args(args)
        .env("WRANGLER_SEND_METRICS", "false")
        .directory(&workspace.path(CRATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_weighed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("index.js"), "a".repeat(100_000)).unwrap();
        let size = weigh(directory.path()).unwrap();
        assert!((20..1000).contains(&size), "{size}");
        fs::write(directory.path().join("index.d.ts"), "type A = 1;").unwrap();
        assert_eq!(weigh(directory.path()).unwrap(), size);
    }

    #[test]
    fn the_worker_is_bound_by_the_tool_that_binds_it() {
        let manifest =
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../edge/cloudflare/Cargo.toml"));
        let manifest = manifest.unwrap();
        assert!(manifest.contains(&format!("wasm-bindgen = \"={WASM_BINDGEN}\"")), "{WASM_BINDGEN}");
        assert!(manifest.contains(&format!("worker = {{ version = \"={WORKER_BUILD}\"")), "{WORKER_BUILD}");
    }
}
