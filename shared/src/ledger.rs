//! What became of a call: its record, what it used, and why it failed.

pub mod connect_fault;
pub mod record;
pub mod usage;
