//! State in objects that are addressed by name, live one at a time and share nothing: Durable Objects.
//!
//! An isolate shares nothing with its neighbours, so what one process keeps in [`crate::store::embedded`] is spread over
//! objects here, each with the part that has to be seen as one: a tenant's limits, leases and idempotency keys, a
//! route's limits, an upstream's breakers with what operators say of them and the budget of its retries
//! ([`Object`]). What the store is asked is split into one question for each object that has something to say, all
//! sent at the same time, and their answers are joined to what one store would have said ([`Opening`], [`close`]).
//! An object answers by itself ([`Desk`]), with the very steps that a process runs.
//!
//! - All or nothing: each object reserves as if it were alone, and says what it could have had instead. Where one
//!   refuses what others have reserved, they are told to take it back. Until they are, or until it expires where the
//!   isolate has ended first, a call of somebody else may be denied that would not have been. None is let through that
//!   a single store would have denied, as long as no object has forgotten what it counted: [`Desk`] says when one does.
//! - The cache is not in here: the shell looks into it first ([`recall`]), and the tenant's object says only who
//!   fetches a new answer. What is fresh asks no upstream's object, and no object at all where nothing is limited,
//!   repeated or led.
//! - Who has just heard that an upstream is well does not ask, and tells later that it still is ([`Beliefs`]): a breaker
//!   that another isolate's calls or an order have opened is found out within a second.
//! - Questions and answers are bytes that begin with a version; what cannot be read is an object that is lost. Points
//!   in time cross as spans, for the clocks differ.
//! - Retries are budgeted by upstream: each request deposits with every upstream it may be sent to, and a retry is
//!   withdrawn where it goes. A process has one budget for all.
//! - Of an answer on its way nothing is heard elsewhere ([`crate::Platform::flights`] is `None` here): who waits for
//!   another's answer finds it in the cache. Calls are coalesced within a tenant.
//!
//! A lost object: without the one of a tenant or a route that counts for the call, or keeps its idempotency key, the
//! store is lost, and each limit says what holds then. Without an upstream's object the isolate asks its own breakers,
//! as a process without its Redis does, and the call goes on: limits hold, and an upstream that fails is found out
//! again. Where all that were asked are lost, the store is.

mod cached;
mod close;
mod known_closed;
mod message;
mod object;
mod open;
mod operations;
mod recent_denials;
mod state;
#[cfg(test)]
mod tests;

pub use self::cached::{keep, recall};
pub use self::close::{close, close_again, give_back};
pub use self::known_closed::Beliefs;
pub use self::object::Object;
pub use self::open::{Abandoned, Joined, Opening};
pub use self::operations::{
    control, done, granted, lease_probe, listed, listing, obeyed, own, renew, renew_hold, renewed,
    report_probe, withdraw_retry,
};
pub use self::recent_denials::Denials;
pub use self::state::{Answered, Changes, Desk, Flush};

/// What an object is asked: the bytes it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub object: Object,
    pub question: Vec<u8>,
}
