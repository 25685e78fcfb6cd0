//! What is told of calls: events, metrics and traces.

pub mod event;
pub mod metrics;
pub(crate) mod trace;
