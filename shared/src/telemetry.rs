//! What is told of calls: metrics and traces.

pub mod metrics;
pub(crate) mod trace;
