//! Weir's core: everything that decides.
//!
//! A request comes in as [`http::Request`], [`handle`] answers it by a [`Config`], and whatever needs a clock,
//! chance, a store or a wire goes through the [`Platform`] that a shell implements. There is no I/O here, no
//! clock, no randomness, no environment, no statics and no runtime crate; the same code is compiled into every
//! shell.

pub mod cache;
pub mod config;
pub mod dialect;
pub mod identity;
pub mod ledger;
pub mod limits;
mod operator;
mod pipeline;
pub mod platform;
pub mod random;
pub mod refusal;
pub mod routing;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod time;
pub mod wire;

pub use crate::config::Config;
pub use crate::operator::health::unconfigured;
pub use crate::pipeline::reply::body::{Aborted, Body};
pub use crate::pipeline::settlement::Settlement;
pub use crate::pipeline::{METRICS, handle};
pub use crate::platform::Platform;
