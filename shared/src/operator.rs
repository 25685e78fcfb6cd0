//! What an operator sees and orders: health, breakers, metrics.

pub(crate) mod admin;
pub(crate) mod health;
pub(crate) mod metrics;
