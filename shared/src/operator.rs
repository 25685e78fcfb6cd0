//! What an operator sees and orders: health, breakers, metrics.

pub(crate) mod admin;
mod breakers;
pub(crate) mod health;
pub(crate) mod metrics;
