//! What a shell provides: time, chance, the store, the wire. The words are the domain's.
//!
//! Nothing here asks for `Send`. A shell whose runtime needs it has types that are, and the future of
//! [`crate::handle`] is then `Send` as well; a shell full of `Rc` compiles just so. Generic code spawns nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::cache::in_flight::Flights;
use crate::limits::admission::Admission;
use crate::limits::concurrency::Limiters;
use crate::routing::breaker::control::{self, Listing, Order};
use crate::routing::upstream::Upstream;
use crate::routing::upstream::dispatch::{Dispatch, SendFault};
use crate::routing::usage_refusals::UsageRefusals;
use crate::store::lease::{Lease, Overheard, Piece, Renewed};
use crate::store::protocol::{Ask, Closing, Finding, Holding, Opened, Ownership, StoreLost, Unheeded};
use crate::store::readings::Readings;
use crate::telemetry::event::Event;
use crate::telemetry::metrics::Exposition;
use crate::time::{Instant, UnixMillis};
use crate::wire::upload::{Broken, Payload};
use crate::wire::websocket::Upgraded;

/// A shell, as the core sees it, with what its process has one of. A clone is another handle to the same shell.
pub trait Platform: Clock + Store + Transport + Observe + Clone + Unpin + 'static {
    /// Calls that identical ones may share. `None` where one request cannot wake another.
    fn flights(&self) -> Option<&Flights>;

    /// Who waits for whom. `None` where one request cannot wake another.
    fn limiters(&self) -> Option<&Limiters>;

    /// What was let in here, and how much of it is held. A process or an isolate has one for all of its requests;
    /// where an instance lives for one request, it bounds that one alone.
    fn admission(&self) -> &Admission;

    /// Which deployments refuse to be asked for usage. `None` where one request knows nothing of another: each
    /// then learns it anew.
    fn usage_refusals(&self) -> Option<&UsageRefusals> {
        None
    }
}

/// Time, chance, and where what takes long is computed.
#[expect(async_fn_in_trait, reason = "whether the futures are Send is the implementing shell's business")]
pub trait Clock {
    type Sleep: Future<Output = ()> + Unpin + 'static;

    fn now(&self) -> Instant;

    fn wall(&self) -> UnixMillis;

    /// 64 random bits.
    fn roll(&self) -> u64;

    fn sleep(&self, span: Duration) -> Self::Sleep;

    /// Whether the process ends now: its grace is over. Whatever is still under way is told so at its next step, which the
    /// shell sees to.
    fn is_going_away(&self) -> bool {
        false
    }

    /// Computes what takes long: elsewhere than on the threads that serve, where the shell has others.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }
}

/// What is kept between calls: in the process, or where all replicas see it.
#[expect(async_fn_in_trait, reason = "whether the futures are Send is the implementing shell's business")]
pub trait Store {
    /// The one operation on the store before the upstream call. A client may leave while it is under way: where the
    /// store is not in the process, what was reserved by then is held until it expires, unless the shell sees the
    /// operation to its end and gives it back ([`Opened::undone`]). Where it is not known whether the operation was done,
    /// the shell sees to it that nothing stays held either.
    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost>;

    /// The same on what the process keeps by itself, for as long as the store is lost.
    fn open_locally(&self, ask: Ask<'_>) -> Opened;

    /// Spends one retry of the budget, if there is one and the breaker lets it through. This and the next two are
    /// asked of what the process keeps by itself where the store is lost.
    async fn withdraw_retry(&self, breaker: &str) -> bool;

    /// Leases the probe of a half-open breaker to the call `id`; of a model's breaker, and its upstream's, that of each
    /// that is half-open, or none. Whether the call may go.
    async fn lease_probe(&self, breaker: &str, id: u64) -> bool;

    /// Tells at once how the probe `id` went, so that nobody has to wait for the end of its answer; or how any other call
    /// did that lasts for as long as its client likes.
    async fn report_probe(&self, finding: Finding, id: u64);

    /// The one operation on the store after the last byte, or on what the process keeps by itself if the
    /// reservation was made there. The record is kept whatever becomes of the rest. An end that the store was not told is
    /// told again once it can be, as long as there is room to remember it.
    async fn close(&self, closing: Closing);

    /// Says that a call is still under way: what it holds lasts for [`crate::limits::account::HELD`] from now on, in the
    /// store or in what the process keeps by itself, wherever it was reserved. Asked every
    /// [`HOLD_RENEWAL`](crate::store::lease::HOLD_RENEWAL).
    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost>;

    /// Whether the store is told who is being answered, so that every call has to say that it still is.
    fn shows_calls(&self) -> bool {
        false
    }

    /// Does as an operator says, and tells what has become of the breaker. Every replica's next `open` sees
    /// it.
    async fn control(&self, order: &Order) -> Result<control::Entry, Unheeded>;

    /// The breakers of these names, those with an override, and of the others those that are not closed.
    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost>;

    /// Why the store is lost, in words that quote nothing. `None` where it is not, or nobody knows.
    fn why_store_is_lost(&self) -> Option<String> {
        None
    }

    /// What bounds the store's part in `/ready` and `/metrics`. `None` where one request knows nothing of another: each
    /// reading then asks once.
    fn readings(&self) -> Option<&Readings> {
        None
    }

    /// Whether others ask the same store whom this process cannot wake: identical calls then find each other
    /// by a [`Lease`] in it. Where it is `false` nobody asks for one.
    fn is_one_of_several(&self) -> bool;

    /// Whether the platform bounds how many questions one request may ask.
    fn counts_questions(&self) -> bool {
        false
    }

    /// Prolongs the lease of the call `id` by its span from now, and takes what its answer has said meanwhile
    /// to those who listen elsewhere.
    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost>;

    /// What the call `id` has said so far, from this byte on. Asked only where [`Platform::flights`] are.
    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost>;

    /// Whether all objects that are named are the tenant's; if so, those that were made are from now on. Where the store is
    /// lost nothing is known, and what the process keeps by itself says nothing of it.
    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost>;
}

/// Bytes from clients and to upstreams.
#[expect(async_fn_in_trait, reason = "whether the futures are Send is the implementing shell's business")]
pub trait Transport {
    /// A client's request body.
    type Upload: Stream<Item = Result<Bytes, Broken>> + Unpin + 'static;
    /// An upstream's answer. Dropping it cancels the call.
    type Download: Stream<Item = Result<Bytes, Broken>> + Unpin + 'static;

    /// Sends a request whose URI is absolute; gives the head of the answer. The shell bounds the connect by the
    /// upstream's timeout and follows no redirect; the core bounds the rest. Where requests wait in the shell for a
    /// connection, it says so in `dispatch`.
    async fn send(
        &self,
        upstream: &Upstream,
        request: http::Request<Payload<Self::Upload>>,
        dispatch: &Dispatch,
    ) -> Result<http::Response<Self::Download>, SendFault>;

    /// Whether [`Self::upgrade`] can be asked.
    fn relays_websockets(&self) -> bool {
        false
    }

    /// As [`Self::send`], of a request that asks for a websocket and has no body. Its extensions are those of the
    /// client's request: what the shell knows the client's connection by.
    async fn upgrade(
        &self,
        _upstream: &Upstream,
        _request: http::Request<Payload<Self::Upload>>,
    ) -> Result<Upgraded<Self::Download>, SendFault> {
        Err(SendFault::Broken)
    }
}

/// What is counted and logged.
#[expect(async_fn_in_trait, reason = "whether the futures are Send is the implementing shell's business")]
pub trait Observe {
    /// What has been counted, and what the process measures of itself. Breakers are not in it.
    async fn counted(&self) -> Result<Exposition, StoreLost> {
        Ok(Exposition::default())
    }

    /// Something happened that is counted, not decided upon. Called from `Drop` too: it must not block.
    fn observe(&self, event: Event<'_>);
}
