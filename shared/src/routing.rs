//! Where a call goes: candidates, breakers, retries, and what is known of upstreams.

pub mod breaker;
pub mod load;
pub mod passthrough;
pub mod plan;
pub mod retry;
pub mod route;
pub mod table;
pub mod upstream;
pub mod usage_refusals;
