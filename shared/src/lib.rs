//! Weir's core: everything that decides.
//!
//! A request comes in as [`http::Request`], [`handle`] answers it by a [`Config`], and whatever needs a clock,
//! chance, a store or a wire goes through the [`Platform`] that a shell implements. There is no I/O here, no
//! clock, no randomness, no environment, no statics and no runtime crate; the same code is compiled into every
//! shell.
//!
//! Its rooms, from the top; a folder imports only folders below it, and folders on one line do not import each other:
//!
//! - `pipeline`: the life of a request
//! - `operator`: what an operator sees and orders
//! - [`platform`]: what a shell provides
//! - [`store`]: what is kept between calls
//! - [`config`], [`telemetry`]: the checked document; events, traces and metrics
//! - [`routing`]: where a call goes
//! - [`identity`], [`cache`]: who calls; what is kept, and calls in flight
//! - [`dialect`]: what callers and upstreams speak
//! - [`refusal`]: every answer that is an error
//! - [`limits`]: how much may be asked for, and how much at a time
//! - [`wire`], [`ledger`]: bytes and headers; what became of a call
//! - [`time`], [`random`], [`secret`]

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
pub use crate::pipeline::{Aborted, Body, METRICS, Settlement, handle};
pub use crate::platform::Platform;
