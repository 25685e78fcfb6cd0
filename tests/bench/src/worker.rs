//! The Cloudflare Worker in a workerd, and in the same process a Worker in JavaScript that only forwards.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::child::{self, Door, Server};
use crate::cli::{Failed, say};

/// What `cargo xtask worker build` says of where its tools are.
const TOOLS: &str = "the Worker's tools: ";

/// The Worker, and what runs it.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// Holds `node_modules`.
    tools: PathBuf,
}

/// Builds the tree's Worker.
pub(crate) fn build() -> Result<Built, Failed> {
    say("building the Worker …");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["xtask", "worker", "build"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failed::because("cargo does not start", e))?;
    let said = String::from_utf8_lossy(&built.stdout);
    let tools = said.lines().find_map(|line| line.strip_prefix(TOOLS)).filter(|_| built.status.success());
    let tools = tools.ok_or_else(|| Failed(format!("cargo xtask worker build: {}\n{said}", built.status)))?;
    Ok(Built { tools: tools.into() })
}

/// One process with two Workers.
#[derive(Debug)]
pub(crate) struct Pair {
    server: Server,
    weir: SocketAddr,
    forwarder: SocketAddr,
}

impl Pair {
    /// Starts both before `upstream`; Weir's with this configuration.
    pub(crate) fn start(built: &Built, config: &str, upstream: SocketAddr) -> Result<Self, Failed> {
        let pinned = built.tools.join("node_modules/.bin/node");
        let node = if pinned.exists() { pinned } else { "node".into() };
        let mut program = child::program(&node);
        program.arg(root().join("tests/workerd/gateway.mjs")).arg(&built.tools);
        program.arg(root().join("edge/cloudflare/build"));
        let given = json!({
            // The native server is measured with the same.
            "bindings": { "WEIR_CONFIG": config, "OPENAI_API_KEY": "sk-upstream", "WEIR_LOG": "warn" },
            "beside": {
                "path": root().join("tests/bench/forwarder.mjs"),
                "bindings": { "UPSTREAM": format!("http://{upstream}") },
            },
        });
        let (server, [weir, forwarder]) = Server::start_with("workerd", program, &format!("{given}\n"))?;
        Ok(Self { server, weir, forwarder })
    }

    pub(crate) fn weir(&self) -> Door<'_> {
        Door { server: &self.server, address: self.weir }
    }

    pub(crate) fn forwarder(&self) -> Door<'_> {
        Door { server: &self.server, address: self.forwarder }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
