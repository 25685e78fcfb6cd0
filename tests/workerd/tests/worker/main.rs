//! What only this runtime has: objects, queues, a clock, KV, an isolate that many requests share.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod clock;
mod document;
mod objects;
mod start;

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::Value;
use weir_native_tests::{Raw, chat_body, chat_bytes, wait};
use weir_worker_tests::{Built, Gateway};

/// What this binary starts, built once.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| Built::build().unwrap())
}

fn start(given: &Value) -> Gateway {
    built().start(given).unwrap()
}

/// Asks for a completion on a connection of its own; the whole answer as it came.
async fn ask(address: SocketAddr, headers: &str) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(chat_bytes(&chat_body("m"), &format!("{headers}connection: close\r\n"))).await;
    raw.to_end().await
}

/// Waits until the log has a line with all of these in it, and gives the line.
async fn logged(gateway: &Gateway, parts: &[&str]) -> String {
    wait::until(&format!("a line of the log with {parts:?}"), async || {
        let lines = gateway.log.now();
        lines.into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
    })
    .await
}
