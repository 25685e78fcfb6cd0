//! The Cloudflare Worker in a workerd, and in the same process a Worker in JavaScript that only forwards.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use weir_worker_tests::Built;

use crate::child::{self, Cores, Door, Server};
use crate::cli::{Failed, say};

/// Builds the tree's Worker.
pub(crate) fn build() -> Result<Built, Failed> {
    say("building the Worker …");
    Built::build().map_err(Failed)
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
        let mut program = child::program(&built.node());
        program.args(built.arguments());
        let given = json!({
            // The native server is measured with the same.
            "bindings": { "WEIR_CONFIG": config, "OPENAI_API_KEY": "sk-upstream", "WEIR_LOG": "warn" },
            "beside": {
                "path": Path::new(env!("CARGO_MANIFEST_DIR")).join("forwarder.mjs"),
                "bindings": { "UPSTREAM": format!("http://{upstream}") },
            },
        });
        let (server, [weir, forwarder]) = Server::start_with("workerd", program, &format!("{given}\n"))?;
        Ok(Self { server, weir, forwarder })
    }

    pub(crate) fn weir(&self) -> Door<'_> {
        Door { server: &self.server, address: self.weir, askers: Cores::All }
    }

    pub(crate) fn forwarder(&self) -> Door<'_> {
        Door { server: &self.server, address: self.forwarder, askers: Cores::All }
    }
}
