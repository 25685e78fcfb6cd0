//! A real `redis-server` on a free port of loopback, and the plainest connection to it there can be.
//!
//! Nothing is kept on disk and no process outlives its test.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness fails a test by panicking"
)]

mod connection;
mod record;
mod server;

pub use connection::{Connection, Fault};
pub use record::record;
pub use server::{Server, free_port};
