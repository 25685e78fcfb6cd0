//! What the gateway promises, asked of the real binary over real sockets.
//!
//! Numbers in the docs of tests are the invariants of docs/reliability.md.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod accounting;
mod admin;
mod bounds;
mod cache;
mod cache_memory;
mod cli;
mod connections;
mod credentials;
mod drain;
mod faults;
mod floods;
mod hardening;
mod holds;
mod http2;
mod http2_upstream;
mod identity;
mod leaving;
mod linger;
mod logs;
mod manual;
mod names;
mod overload;
mod pages;
mod passthrough;
mod proxies;
mod reload;
mod repeats;
mod replicas;
mod reuse;
mod routing;
mod secrets;
mod sharing;
mod shortages;
mod slow;
mod stale;
mod store;
mod store_loss;
mod storm;
mod tls;
mod trial;
mod websockets;
