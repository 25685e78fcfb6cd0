//! Where a call goes: candidates, breakers, retries, and what is known of upstreams.

pub mod breaker;
pub mod load;
pub mod plan;
pub mod retry;
pub(crate) mod upstream;
pub mod usage_refusals;
