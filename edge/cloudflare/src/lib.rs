//! Weir as a Cloudflare Worker: the shell around the core, in the words of workerd.
//!
//! It carries bytes and decides nothing. Every answer comes from `weir::handle`; what is here turns a native
//! `Request` into the core's, the core's answer into a native `Response`, and the platform's promises into
//! timers, `fetch` and objects. Crossing from Rust to JavaScript costs more than what is done on either side,
//! so heads cross as one text and bodies as one buffer, where they are whole. What the platform does for each
//! promise, closure and microtask costs more still, so there are few: who waits has a number (`ear`), runs as
//! soon as he is told (`task`), and a chunk that comes goes out in the same call (`outgoing`).
#![cfg(target_arch = "wasm32")]

mod answer;
mod cache;
mod cron;
mod desk;
mod ear;
mod fetch;
mod gone;
mod head;
mod incoming;
mod isolate;
mod js;
mod log;
mod near;
mod objects;
mod opening;
mod outgoing;
mod platform;
mod promised;
mod serve;
mod settings;
mod sleep;
mod task;
mod usage;
