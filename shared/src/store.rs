//! What is kept between calls: in the process, in a Redis, in Durable Objects.

pub mod durable;
pub mod embedded;
pub mod lease;
pub(crate) mod pack;
pub mod protocol;
pub mod readings;
pub mod redis;
