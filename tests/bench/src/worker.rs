//! The Cloudflare Worker in a workerd, and in the same process two Workers in JavaScript: one that only forwards, and
//! one that does what every gateway has to.

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

/// One process with three Workers.
#[derive(Debug)]
pub(crate) struct Workers {
    server: Server,
    weir: SocketAddr,
    forwarder: SocketAddr,
    reader: SocketAddr,
}

impl Workers {
    /// Starts all of them before `upstream`; Weir's with this configuration.
    pub(crate) fn start(built: &Built, config: &str, upstream: SocketAddr) -> Result<Self, Failed> {
        let mut program = child::program(&built.node());
        program.args(built.arguments());
        let peer = |file: &str, has_desks: bool| {
            json!({
                "path": Path::new(env!("CARGO_MANIFEST_DIR")).join(file),
                "bindings": { "UPSTREAM": format!("http://{upstream}") },
                "desks": has_desks,
            })
        };
        let given = json!({
            // The native server is measured with the same.
            "bindings": { "WEIR_CONFIG": config, "OPENAI_API_KEY": "sk-upstream", "WEIR_LOG": "warn" },
            "beside": [peer("forwarder.mjs", false), peer("reader.mjs", true)],
        });
        let (server, [weir, forwarder, reader]) =
            Server::start_with("workerd", program, &format!("{given}\n"))?;
        Ok(Self { server, weir, forwarder, reader })
    }

    /// The one that forwards, the one that reads, and Weir's.
    pub(crate) fn doors(&self) -> [Door<'_>; 3] {
        [self.forwarder, self.reader, self.weir].map(|address| Door {
            server: &self.server,
            address,
            askers: Cores::All,
        })
    }
}
