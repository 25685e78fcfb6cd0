//! Weir, as it is released, in front of the bench's upstream.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::Builder;
use weir::identity::caller::KeyHash;

use crate::ask::KEY;
use crate::child::{self, Server};
use crate::cli::{Failed, say};

/// Builds the tree's gateway beside this program, and tells where it is.
pub(crate) fn build() -> Result<PathBuf, Failed> {
    say("building weir for release …");
    let target = target()?;
    cargo_build(&target, &["--release", "--package", "weir-devserver"])?;
    Ok(target.join("release/weir"))
}

/// A host for components, and the component.
#[derive(Clone, Debug)]
pub(crate) struct Hosted {
    pub(crate) host: PathBuf,
    pub(crate) component: PathBuf,
}

/// Builds the tree's component, and the gateway that can host it.
pub(crate) fn build_hosted() -> Result<Hosted, Failed> {
    say("building the component and its host for release; the first time that takes minutes …");
    let target = target()?;
    let target_of_spin = "wasm32-wasip2";
    cargo_build(&target, &["--profile", "component", "--target", target_of_spin, "--package", "weir-spin"])?;
    cargo_build(&target, &["--release", "--package", "weir-devserver", "--features", "wasm"])?;
    // The next build without the feature takes the name.
    let (built, host) = (target.join("release/weir"), target.join("release/weir-with-wasm"));
    fs::copy(&built, &host).map_err(|e| Failed::because(built.display(), e))?;
    Ok(Hosted { host, component: target.join(target_of_spin).join("component/weir_spin.wasm") })
}

fn target() -> Result<PathBuf, Failed> {
    let bench = child::this_program()?;
    let target = bench.parent().and_then(Path::parent);
    target.map(Path::to_path_buf).ok_or_else(|| Failed("this program lies in no target folder".into()))
}

fn cargo_build(target: &Path, what: &[&str]) -> Result<(), Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--locked", "--quiet", "--target-dir"])
        .arg(target)
        .args(what)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| Failed::because("cargo does not start", e))?;
    if built.success() {
        Ok(())
    } else {
        Err(Failed("weir could not be built; `--weir FILE` measures one that is".into()))
    }
}

/// What it does with a call, beside passing it on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setup {
    /// What a small deployment has: callers by key, a limit on requests, the breakers and bounds that are
    /// there by default. No load here reaches a limit.
    Usual,
    /// Limits of every kind.
    Limited,
    /// No limits at all, and a breaker that nothing opens: there is no gateway without one.
    Bare,
    /// Answers are kept and given again.
    Cached,
    /// So many calls at the upstream at the same time, and so many that wait for that.
    Bounded { calls: usize, queue: usize },
    /// As many calls as the upstream turns out to bear.
    Adaptive { queue: usize },
}

/// What keeps its counts and its cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// The process itself.
    Embedded,
    /// A Redis at this address.
    Redis(SocketAddr),
}

/// A gateway as a row wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) setup: Setup,
    pub(crate) store: Store,
    pub(crate) upstream: SocketAddr,
    pub(crate) workers: usize,
}

/// Starts one with `program`, to which nothing has been said but how to measure it.
pub(crate) fn start_native(mut program: Command, wanted: Wanted<'_>) -> Result<Server, Failed> {
    program.arg("serve");
    start(program, wanted)
}

fn start(mut program: Command, wanted: Wanted<'_>) -> Result<Server, Failed> {
    // It follows its file, so each has its own.
    let mut file = Builder::new()
        .prefix("weir-")
        .suffix(".toml")
        .tempfile_in(wanted.folder)
        .map_err(|e| Failed::because("no configuration", e))?;
    let written = file.write_all(document(wanted).as_bytes());
    written.map_err(|e| Failed::because(file.path().display(), e))?;
    let (_, path) = file.keep().map_err(|e| Failed::because("no configuration", e))?;
    program.args(["--log-level", "warn", "--config"]).arg(path);
    program.env("OPENAI_API_KEY", "sk-upstream");
    Server::start("weir", program)
}

/// Starts the component in a host. It may reach the upstream and the Redis, and nothing else.
pub(crate) fn start_hosted(hosted: &Hosted, redis: SocketAddr, wanted: Wanted<'_>) -> Result<Server, Failed> {
    let mut program = child::program(&hosted.host);
    let url = format!("redis://{redis}");
    program.env("SPIN_VARIABLE_REDIS_HOST", &url).env("SPIN_VARIABLE_REDIS_URL", &url);
    program.env("SPIN_VARIABLE_UPSTREAM_HOST", format!("http://{}", wanted.upstream));
    program.arg("serve").arg("--component").arg(&hosted.component);
    program.args(["--manifest", concat!(env!("CARGO_MANIFEST_DIR"), "/../../edge/spin/spin.toml")]);
    start(program, Wanted { store: Store::Redis(redis), ..wanted })
}

/// One upstream with a credential, a route by pattern, callers by key.
pub(crate) fn document(wanted: Wanted<'_>) -> String {
    let Wanted { setup, store, upstream, workers, .. } = wanted;
    let store = match store {
        Store::Embedded => String::new(),
        Store::Redis(address) => {
            format!("[store]\nkind = \"redis\"\nurl = \"redis://{address}\"\nnamespace = \"bench\"\n")
        }
    };
    let hash = KeyHash::of(KEY).to_text();
    let limits = match setup {
        Setup::Bare => r#"requests = "unlimited""#,
        Setup::Limited => {
            "requests = \"1000000/s, 1000000000/d\"\ntokens = \"1000000000/s\"\nconcurrent = 10000"
        }
        Setup::Usual | Setup::Cached | Setup::Bounded { .. } | Setup::Adaptive { .. } => {
            r#"requests = "1000000/s""#
        }
    };
    let server = if matches!(setup, Setup::Bare) { r#"concurrency = "unlimited""# } else { "" };
    let upstream_has = match setup {
        Setup::Bare => {
            r#"breaker = { consecutive = 4000000000, failure_rate = "100%", minimum = 4000000000 }"#
                .to_owned()
        }
        Setup::Bounded { calls, queue } => {
            format!(r#"concurrency = {{ limit = {calls}, queue = {queue}, wait = "1s" }}"#)
        }
        Setup::Adaptive { queue } => {
            format!(r#"concurrency = {{ limit = "adaptive", queue = {queue}, wait = "1s" }}"#)
        }
        Setup::Usual | Setup::Limited | Setup::Cached => String::new(),
    };
    let route = if matches!(setup, Setup::Cached) { "cache = true" } else { "" };
    format!(
        r#"listen = "127.0.0.1:0"
auth   = "keys"

[server]
workers = {workers}
{server}

{store}
[upstream.bench]
dialect  = "openai"
base_url = "http://{upstream}/v1"
api_key  = {{ env = "OPENAI_API_KEY" }}
{upstream_has}

[[route]]
model = "bench-*"
to    = ["bench"]
{route}

[limits.default]
{limits}

[key.bench]
hash   = "{hash}"
tenant = "bench"
models = ["bench-*"]
"#
    )
}
