//! Weir as a Spin component: one instance of this for each request, on WASI 0.2.
//!
//! Nothing is decided here. `entry` turns what the runtime hands over into what [`weir::handle`] takes, `shell`
//! is the core's platform, and the rest carries bytes: `inflow` and `outflow` are bodies, `upstream` makes a call,
//! `store` asks Redis, `clock` waits. An instance lives for one request and shares nothing with another, so there is
//! no state in it: what is counted is counted in Redis, and a configuration is read each time.
//!
//! What speaks to the runtime is compiled for it alone; the rest has its tests on any machine.
//!
//! A panic here ends the answer as if it were complete, so nothing may panic: lints deny it.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[cfg(any(target_os = "wasi", test))]
mod address;
#[cfg(target_os = "wasi")]
mod clock;
#[cfg(any(target_os = "wasi", test))]
mod document;
#[cfg(target_os = "wasi")]
mod entry;
#[cfg(any(target_os = "wasi", test))]
mod head;
#[cfg(target_os = "wasi")]
mod inflow;
#[cfg(target_os = "wasi")]
mod log;
#[cfg(target_os = "wasi")]
mod outflow;
#[cfg(any(target_os = "wasi", test))]
mod restless;
#[cfg(target_os = "wasi")]
mod serve;
#[cfg(target_os = "wasi")]
mod shell;
#[cfg(target_os = "wasi")]
mod store;
#[cfg(target_os = "wasi")]
mod upstream;
#[cfg(target_os = "wasi")]
mod variables;
