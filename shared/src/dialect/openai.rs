//! `OpenAI`'s encodings: events of a stream, and answers told again as events or as a whole.

pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod excerpt;
pub(crate) mod realtime;
pub mod replay;
