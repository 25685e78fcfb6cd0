//! What the gateway promises, asked of the real binary over real sockets.
//!
//! Numbers in the docs of tests are the invariants of docs/reliability.md.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod bounds;
mod cli;
mod drain;
mod faults;
mod hardening;
mod leaving;
mod reload;
mod reuse;
mod slow;
mod trial;
