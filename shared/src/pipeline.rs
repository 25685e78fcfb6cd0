//! The life of a request: bytes in, parse, identify, open, plan, attempt, reply, close.
//!
//! Its steps stand in the order in which a request meets them, and a step knows those below it alone: [`dispatch`] chooses
//! what kind of request it is; [`call`] reads it and [`route`] takes it through the store to the answer that is kept
//! ([`cache`]), shared ([`share`]), or asked for ([`failover`], [`attempt`]); [`delivery`] sends it off and [`accounting`]
//! closes its record, behind which the [`settlement`] runs.

mod access;
mod accounting;
mod admission;
mod answer_stream;
mod arrival;
mod attempt;
mod cache;
mod call;
mod charge;
mod delivery;
mod dispatch;
mod exchange;
mod explanation;
mod failover;
mod heavy;
mod models;
mod open;
mod ownership;
mod passthrough;
mod read;
mod reply;
mod request_body;
mod route;
mod sent;
mod settlement;
mod share;
mod websocket;

pub use self::accounting::task::Settlement;
pub use self::dispatch::{METRICS, handle};
pub use self::reply::aborted::Aborted;
pub use self::reply::body::Body;
