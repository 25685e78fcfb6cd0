//! The stream contract: what the client gets is a legal prefix of the upstream's answer that ends in exactly
//! one of terminator, error event or abort, and truncated is never taken for complete.

pub(crate) mod body;
pub(crate) mod course;
pub(crate) mod excerpt;
pub(crate) mod following;
pub(crate) mod keep_alive;
pub(crate) mod observer;
pub(crate) mod opening;

pub use self::body::{Aborted, Body};
