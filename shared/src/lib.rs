//! Weir's core: everything that decides.
//!
//! A request comes in as [`http::Request`], [`handle`] answers it by a [`Config`], and whatever needs a clock,
//! chance, a store or a wire goes through the [`Platform`] that a shell implements. There is no I/O here, no
//! clock, no randomness, no environment, no statics and no runtime crate; the same code is compiled into every
//! shell.

pub mod account;
mod address;
mod admin;
pub mod admission;
pub mod breaker;
pub mod cache;
pub mod call;
pub mod caller;
pub mod client_address;
pub mod coding;
pub mod config;
pub mod control;
pub mod cors;
mod cross_site;
pub mod defaults;
pub mod embedded;
pub mod endpoint;
mod explain;
pub mod fingerprint;
pub mod flight;
mod headers;
mod identity;
mod intake;
pub mod json;
pub mod ledger;
pub mod limit;
mod listing;
pub mod metrics;
mod multipart;
pub mod overload;
mod pack;
pub mod pattern;
mod pipeline;
pub mod plan;
pub mod platform;
mod readiness;
pub mod reading;
mod redact;
pub mod redis;
pub mod refusal;
pub mod remote;
pub mod replay;
pub mod retry;
pub mod roll;
pub mod secret;
mod settlement;
pub mod sse;
pub mod standing;
pub mod stream;
pub mod time;
mod trace;
mod urlencoded;
pub mod usage;
pub mod usage_refusals;
pub mod websocket;

pub use crate::config::Config;
pub use crate::pipeline::{METRICS, handle};
pub use crate::platform::Platform;
pub use crate::readiness::unconfigured;
pub use crate::settlement::Settlement;
pub use crate::stream::{Aborted, Body};
