//! Bytes and headers: what holds for any API.

pub mod coding;
pub(crate) mod headers;
pub mod json;
pub(crate) mod pack;
pub(crate) mod redact;
pub mod sse;
pub mod websocket;
