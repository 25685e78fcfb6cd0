//! What a client reads: the body of its answer, its own or one that it shares.

pub(super) mod aborted;
pub(super) mod body;
pub(super) mod keep_alive;
pub(super) mod shared_body;
