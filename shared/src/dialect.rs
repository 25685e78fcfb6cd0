//! What callers and upstreams speak: endpoints, calls, defaults, and `OpenAI`'s answers and events.

pub mod call;
pub mod defaults;
pub mod endpoint;
pub mod model_pattern;
pub(crate) mod multipart;
pub mod openai;
pub(crate) mod urlencoded;
