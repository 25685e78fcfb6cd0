//! How much may be asked for, and how much is let in at a time.

pub mod account;
pub mod admission;
pub mod concurrency;
pub mod rate;
