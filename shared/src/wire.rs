//! Bytes and headers: what holds for any API.

pub mod coding;
pub mod headers;
pub mod json;
pub(crate) mod pack;
pub(crate) mod percent;
pub(crate) mod redact;
pub mod sse;
pub mod upload;
pub mod websocket;
