//! What became of a call: its record, what it used, and why it failed.

pub mod cache_status;
pub mod connect_fault;
pub(crate) mod explanation;
pub mod failure;
pub mod payer;
pub mod record;
pub mod usage;
