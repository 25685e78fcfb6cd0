//! One corpus of cases for every runtime.
//!
//! A case is data: a configuration, upstreams that do byte for byte what is written, requests, and what must
//! come of them. It is run through HTTP against a base URL and looks at nothing but answers, at what the
//! upstreams saw, and at `/metrics`, so that the native server, a Spin component and a Worker can all be held
//! to it. The format is in `README.md`.
//!
//! It refuses what would let a case pass by chance: keys that are not known, steps without an expectation,
//! waits that hope. Whatever comes later is waited for as a condition with a deadline.

pub mod case;
mod check;
mod client;
mod ledger;
mod matching;
mod packing;
pub mod report;
pub mod runtime;
pub mod stage;
mod words;
