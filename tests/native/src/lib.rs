//! A harness that runs the real `weir` and looks at it from outside: sockets, signals, standard output, log
//! lines, `/proc`.
//!
//! It refuses what makes such tests fail on another day: no fixed port, no sleep that hopes, no process that
//! outlives its test. Whatever is waited for is a condition with a deadline ([`wait`]).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness fails a test by panicking"
)]

mod binary;
pub mod browser;
mod client;
mod exposition;
mod flow;
mod gateway;
mod program;
mod proxy;
mod raw;
mod resolver;
pub mod secure;
mod shell;
mod upstream;
pub mod wait;

pub use binary::target_folder;
pub use client::{Answer, Outgoing, chat_body, chat_request, streamed, streamed_chat_body, whole};
pub use exposition::Exposition;
pub use flow::Flow;
pub use gateway::{Gateway, Launch};
pub use program::{Lines, Program, Signal, weir};
pub use proxy::Proxy;
pub use raw::{Raw, chat_bytes, status};
pub use resolver::Resolver;
pub use shell::Curl;
pub use upstream::reply;
pub use upstream::{Act, Extra, Seen, Upstream};

/// The hash by which a document knows `key`.
pub fn hash(key: impl AsRef<[u8]>) -> String {
    use sha2::{Digest as _, Sha256};
    format!("sha256:{:x}", Sha256::digest(key.as_ref()))
}

/// A document in front of the built-in simulated provider, for any name that begins with `sim`.
pub const SIMULATED: &str = r#"
auth = "open"
passthrough = "simulated"

[upstream.simulated]
dialect = "simulated"
tenant = "default"

[[route]]
model = "sim*"
to    = ["simulated"]
"#;
