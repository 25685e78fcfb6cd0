//! Upstreams, and how they are addressed.

pub(crate) mod uri;
