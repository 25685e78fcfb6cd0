//! What the gateway promises, asked of the real binary over real sockets.
//!
//! Numbers in the docs of tests are the invariants of docs/reliability.md.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod cli;
mod drain;
mod leaving;
mod reload;
mod trial;
