//! The Cloudflare Worker as it is deployed, on the real workerd: one for each case, set up by miniflare.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use futures_util::future::LocalBoxFuture;
use serde_json::json;
use weir_native_tests::Lines;

use super::{Given, Running, Runtime};

/// What `cargo xtask worker build` says of where its tools are.
const TOOLS: &str = "the Worker's tools: ";

#[derive(Debug, Default)]
pub struct Workerd {
    /// The directory that holds `node_modules`.
    tools: OnceLock<PathBuf>,
}

impl Runtime for Workerd {
    fn name(&self) -> &'static str {
        "workerd"
    }

    /// Builds the Worker as it is in the working tree.
    fn prepare(&self) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["xtask", "worker", "build"]).current_dir(root()).stderr(Stdio::inherit());
        let built = build.output().map_err(|e| format!("cargo xtask worker build: {e}"))?;
        let said = String::from_utf8_lossy(&built.stdout);
        if !built.status.success() {
            return Err(format!("cargo xtask worker build: {}\n{said}", built.status));
        }
        let tools = said.lines().find_map(|line| line.strip_prefix(TOOLS));
        self.tools.get_or_init(|| PathBuf::from(tools.unwrap_or_default()));
        tools.map(drop).ok_or_else(|| format!("it does not say where its tools are:\n{said}"))
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move {
            let tools = self.tools.get().ok_or("it was not prepared")?.clone();
            let mut bindings = given.environment.clone();
            bindings.insert("WEIR_CONFIG".into(), given.config.clone());
            let given = json!({ "bindings": bindings }).to_string();
            let started = tokio::task::spawn_blocking(move || Gateway::start(&tools, &given));
            Ok(Box::new(started.await.map_err(|e| e.to_string())??) as Box<dyn Running>)
        })
    }
}

/// A miniflare with its workerd. Dropped, its standard input ends, and so does it.
#[derive(Debug)]
struct Gateway {
    address: SocketAddr,
    log: Lines,
    stdin: Option<ChildStdin>,
    child: Option<Child>,
}

impl Gateway {
    fn start(tools: &Path, given: &str) -> Result<Self, String> {
        let pinned = tools.join("node_modules/.bin/node");
        let mut node = Command::new(if pinned.exists() { pinned } else { "node".into() });
        node.arg(root().join("tests/workerd/gateway.mjs"))
            .arg(tools)
            .arg(root().join("edge/cloudflare/build"));
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = node.spawn().map_err(|e| format!("node: {e}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err("node has no pipes".into());
        };
        let log = Lines::follow(stderr);
        // From here on it is ended whatever happens.
        let written = writeln!(stdin, "{given}");
        let mut gateway =
            Self { address: ([127, 0, 0, 1], 0).into(), log, stdin: Some(stdin), child: Some(child) };
        written.map_err(|e| gateway.fault(&e))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|e| gateway.fault(&e))?;
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_default();
        gateway.address = address.parse().map_err(|e| gateway.fault(&e))?;
        Ok(gateway)
    }

    fn fault(&self, why: &dyn std::fmt::Display) -> String {
        format!("miniflare did not start: {why}\n{}", self.log.text())
    }
}

impl Running for Gateway {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        self.log.text()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It puts its workerd away first, which no case has to wait for.
        let child = self.child.take();
        thread::spawn(move || child.map(|mut child| child.wait()));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
