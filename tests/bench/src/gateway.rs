//! Weir, as it is released, in front of the bench's upstream.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir::caller::KeyHash;

use crate::ask::KEY;
use crate::child::{self, Server};
use crate::cli::{Failed, say};

/// Builds the tree's gateway beside this program, and tells where it is.
pub(crate) fn build() -> Result<PathBuf, Failed> {
    let bench = child::this_program()?;
    let folder = bench.parent().ok_or_else(|| Failed("this program lies nowhere".into()))?;
    let target = folder.parent().ok_or_else(|| Failed("this program lies in no target folder".into()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    say("building weir for release …");
    let built = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--package", "weir-devserver", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| Failed::because("cargo does not start", e))?;
    if built.success() {
        Ok(target.join("release/weir"))
    } else {
        Err(Failed("weir could not be built; `--weir FILE` measures one that is".into()))
    }
}

pub(crate) fn start(
    weir: &Path,
    folder: &Path,
    upstream: SocketAddr,
    workers: usize,
) -> Result<Server, Failed> {
    let path = folder.join("weir.toml");
    fs::write(&path, document(upstream, workers)).map_err(|e| Failed::because(path.display(), e))?;
    let mut command = child::program(weir);
    command.args(["serve", "--log-level", "warn", "--config"]).arg(&path);
    command.env("WEIR_BENCH_UPSTREAM_KEY", "sk-upstream");
    Server::start("weir", command)
}

/// What a small deployment has: one upstream with a credential, a route by pattern, callers by key. Calls are
/// counted against a limit as they are by default, only that no load here reaches it.
fn document(upstream: SocketAddr, workers: usize) -> String {
    let hash = KeyHash::of(KEY).to_text();
    format!(
        r#"listen = "127.0.0.1:0"
auth   = "keys"

[server]
workers = {workers}

[upstream.bench]
dialect  = "openai"
base_url = "http://{upstream}/v1"
api_key  = {{ env = "WEIR_BENCH_UPSTREAM_KEY" }}

[[route]]
model = "bench-*"
to    = ["bench"]

[limits.default]
requests = "1000000/s"

[key.bench]
hash   = "{hash}"
tenant = "bench"
models = ["bench-*"]
"#
    )
}
