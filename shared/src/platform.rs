//! What a shell provides: time, chance, the store, the wire. The words are the domain's.
//!
//! Nothing here asks for `Send`. A shell whose runtime needs it has types that are, and the future of
//! [`crate::handle`] is then `Send` as well; a shell full of `Rc` compiles just so. Generic code spawns nothing.

mod dispatch;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::task::AtomicWaker;

pub use self::dispatch::Dispatch;
use crate::cache::fingerprint::Fingerprint;
use crate::cache::in_flight::Flights;
use crate::cache::{Entry, Freshness, Place, Window};
use crate::config::{Condition, Limits, Upstream, UpstreamId};
use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::record::Record;
use crate::ledger::usage::Tokens;
use crate::limits::account::{Denied, Left, Scope, Want};
use crate::limits::admission::Admission;
use crate::limits::concurrency::{Limiters, Why};
use crate::refusal::Refusal;
use crate::routing::breaker::control::{self, Listing, Order, Unheeded};
use crate::routing::breaker::{Gate, Outcome, Policies};
use crate::routing::load::Standing;
use crate::routing::usage_refusals::UsageRefusals;
use crate::store::lease::{Holding, Lease, Leased, Overheard, Piece, Release, Renewed};
use crate::store::readings::Readings;
use crate::telemetry::metrics::Exposition;
use crate::time::{Instant, UnixMillis};
use crate::wire::websocket::Upgraded;

/// A shell, as the core sees it. A clone is another handle to the same shell.
#[expect(async_fn_in_trait, reason = "whether the futures are Send is the implementing shell's business")]
pub trait Platform: Clone + Unpin + 'static {
    /// A client's request body.
    type Upload: Stream<Item = Result<Bytes, Broken>> + Unpin + 'static;
    /// An upstream's answer. Dropping it cancels the call.
    type Download: Stream<Item = Result<Bytes, Broken>> + Unpin + 'static;
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

    /// The one operation on the store after the last byte, or on what the process keeps by itself if the
    /// reservation was made there. The record is kept whatever becomes of the rest. An end that the store was not told is
    /// told again once it can be, as long as there is room to remember it.
    async fn close(&self, closing: Closing);

    /// Says that a call is still under way: what it holds lasts for [`crate::limits::account::HELD`] from now on, in the store or
    /// in what the process keeps by itself, wherever it was reserved. Asked every [`HOLD_RENEWAL`](crate::store::lease::HOLD_RENEWAL).
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

    /// What has been counted, and what the process measures of itself. Breakers are not in it.
    async fn counted(&self) -> Result<Exposition, StoreLost> {
        Ok(Exposition::default())
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

    /// What the call `id` has said so far, from this byte on. Asked only where [`Self::flights`] are.
    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost>;

    /// Whether all objects that are named are the tenant's; if so, those that were made are from now on. Where the store is
    /// lost nothing is known, and what the process keeps by itself says nothing of it.
    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost>;

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

    /// Something happened that is counted, not decided upon. Called from `Drop` too: it must not block.
    fn observe(&self, event: Event<'_>);
}

/// A body that will not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The store that counts cannot be reached, or does not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLost;

/// What `open` is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Whose call it is; nobody's when somebody only looks.
    pub tenant: &'a str,
    /// Whose standing is wanted.
    pub standings: &'a [(UpstreamId, &'a str)],
    /// Whose gates are wanted.
    pub breakers: &'a [String],
    /// The request that comes with it, which counts for the retry budget; `None` when somebody only looks.
    pub reservation: Option<&'a Reservation>,
    /// An answer that may be kept.
    pub recall: Option<&'a Recall>,
    /// A call that must not be made twice.
    pub repeat: Option<&'a Repeat>,
    /// Whether the call waits for an identical one in flight: it wants no tokens.
    pub follows: bool,
    /// A call that one of several is to make for all, unless its answer is kept. It is taken in the name of
    /// the reservation, so without one nobody takes it.
    pub lease: Option<&'a Lease>,
    /// Whom the call has waited for: the last [`Leased::Elsewhere`].
    pub awaited: Option<u64>,
    /// Whether the call was opened before to be answered from what is kept, and could not be: what was reserved
    /// then is given back first, as if it had never been counted.
    pub anew: bool,
}

/// Objects at a provider, and whose they are or are to be.
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    /// By [`crate::cache::fingerprint::of_tenant`].
    pub tenant: Fingerprint,
    /// What a call names.
    pub named: &'a [Fingerprint],
    /// What its answer says was made.
    pub made: &'a [Fingerprint],
}

/// Which answer is asked for, and how old it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    pub key: Fingerprint,
    pub window: Window,
    pub place: Place,
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    pub entry: Arc<Entry>,
    pub age: Duration,
    pub freshness: Freshness,
    /// Whoever reads this is the one to fetch a new answer.
    pub refresh: bool,
    /// Older than its route's `ttl`.
    pub is_stale: bool,
}

/// A call with an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Of the tenant and its key.
    pub key: Fingerprint,
    /// Of the request it is used for.
    pub request: Fingerprint,
}

/// What is known of an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Nothing: the call goes on, and has the key from now on.
    First,
    /// The same request is under way.
    Running,
    /// The same request was answered.
    Answered { entry: Arc<Entry>, age: Duration },
    /// It was used for another request.
    Conflict,
}

/// What is to be kept of a call's answer.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    /// Only ever a complete one. Without it the keys are free again.
    pub entry: Option<Arc<Entry>>,
    pub cache: Option<(Fingerprint, Duration)>,
    /// Where it is to be kept for the cache.
    pub place: Place,
    pub repeat: Option<(Repeat, Duration)>,
    /// A lease that goes back, if it is still the call's own.
    pub lease: Option<(Lease, Release)>,
}

/// What a request reserves before its upstream call, and settles behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub want: Want,
    /// In which accounts, under which limits; a scope without limits is left out.
    pub scopes: Vec<(Scope, Limits)>,
    pub held: Held,
}

/// Where a reservation is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    #[default]
    InStore,
    /// In the process: the store was lost.
    Locally,
}

/// What the store says before the upstream call.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    pub standings: Vec<(UpstreamId, Standing)>,
    /// In the order they were asked for.
    pub gates: Vec<Gate>,
    /// The answer is here: no tokens are reserved, and neither standings nor gates are told.
    pub is_kept: bool,
    /// Nothing is reserved, in no scope.
    pub denied: Option<Denied>,
    /// The least that is left in any of the scopes.
    pub left: Left,
    /// Tokens that are held: none for a call that is answered from what is kept.
    pub reserved: Tokens,
    pub recalled: Option<Recalled>,
    /// With [`Repeated::Running`], unless the call follows, and with [`Repeated::Conflict`] nothing is reserved.
    pub repeated: Option<Repeated>,
    /// `None` where no lease was asked for, or none is needed: the answer is kept.
    pub leased: Option<Leased>,
}

impl Opened {
    /// Whether it says that the answer is here, and that nobody is to fetch a new one.
    pub(crate) fn is_to_be_given(&self) -> bool {
        let is_given = |recalled: &Recalled| recalled.freshness != Freshness::IfError && !recalled.refresh;
        matches!(self.repeated, Some(Repeated::Answered { .. }))
            || self.recalled.as_ref().is_some_and(is_given)
    }

    /// What has to be given back of `ask`, should nobody be there any more to make use of it: its place, its tokens
    /// and its keys. The request stays counted. `None` where nothing is held.
    pub fn undone(&self, ask: Ask<'_>) -> Option<(Reservation, Keeping)> {
        let is_held = match &self.repeated {
            Some(Repeated::Conflict) => false,
            Some(Repeated::Running) => ask.follows,
            Some(Repeated::First | Repeated::Answered { .. }) | None => true,
        };
        let is_held = is_held && !matches!(self.leased, Some(Leased::Elsewhere { .. }));
        let reservation = ask.reservation.filter(|_| is_held && self.denied.is_none())?;
        let refreshes = self.recalled.as_ref().is_some_and(|recalled| recalled.refresh);
        let is_first = self.repeated == Some(Repeated::First);
        let keeping = Keeping {
            entry: None,
            place: ask.recall.map(|recall| recall.place).unwrap_or_default(),
            cache: ask.recall.filter(|_| refreshes).map(|recall| (recall.key, Duration::ZERO)),
            repeat: ask.repeat.filter(|_| is_first).map(|repeat| (*repeat, Duration::ZERO)),
            lease: ask
                .lease
                .filter(|_| self.leased == Some(Leased::Own))
                .map(|lease| (*lease, Release::Free)),
        };
        let want = Want { tokens: self.reserved, ..reservation.want };
        Some((Reservation { want, ..reservation.clone() }, keeping))
    }
}

/// What is done after the last byte.
#[derive(Clone, Debug)]
pub struct Closing {
    pub record: Record,
    pub reservation: Reservation,
    /// What the reservation turned out to be.
    pub used: Tokens,
    /// What the breakers learn.
    pub findings: Vec<Finding>,
    /// Probes that came to nothing; their leases go back.
    pub abandoned: Vec<String>,
    pub keeping: Keeping,
}

impl Closing {
    /// The same of a call whose answer is not kept: it is too large to wait with the rest.
    #[must_use]
    pub fn without_answer(&self) -> Self {
        Self { keeping: Keeping { entry: None, ..self.keeping.clone() }, ..self.clone() }
    }
}

/// How one call ended, for the breaker of this name: with `upstream/model` for the upstream's as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub breaker: String,
    pub policies: Policies,
    pub outcome: Outcome,
}

/// Who is at the other end of the connection: an extension of the request, put there by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// An extension of a request that came to the address of the operators (`admin.listen`), put there by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorsAddress;

/// The body of a request to an upstream.
#[derive(Debug)]
pub enum Payload<U> {
    Empty,
    Whole(Bytes),
    /// Passed on as it comes; it can be sent once.
    Stream(Passing<U>),
}

/// An upload on its way through, watched: a client that breaks off or falls silent is not the upstream's fault.
#[derive(Debug)]
pub struct Passing<U> {
    upload: U,
    progress: Arc<Progress>,
}

/// How far an upload has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    stage: AtomicU8,
    /// Whoever looks at it.
    watcher: AtomicWaker,
}

/// What an upload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upstream takes nothing, whether there is something or not.
    Unread,
    /// The upstream would take more, and the client sends nothing.
    Awaited,
    Complete,
    Broken,
}

impl<U> Passing<U> {
    pub(crate) fn new(upload: U, progress: &Arc<Progress>) -> Self {
        Self { upload, progress: Arc::clone(progress) }
    }
}

impl Progress {
    /// What the upload does, and the bytes that went by.
    pub(crate) fn state(&self) -> (Stage, u64) {
        let stage = match self.stage.load(Ordering::Acquire) {
            0 => Stage::Unread,
            1 => Stage::Awaited,
            2 => Stage::Complete,
            _ => Stage::Broken,
        };
        (stage, self.bytes.load(Ordering::Relaxed))
    }

    /// The upload may be polled by another task than the one that waits for its answer.
    pub(crate) fn wake_at_change(&self, waker: &Waker) {
        self.watcher.register(waker);
    }

    fn is_at(&self, stage: Stage) {
        let number = match stage {
            Stage::Unread => 0,
            Stage::Awaited => 1,
            Stage::Complete => 2,
            Stage::Broken => 3,
        };
        if self.stage.swap(number, Ordering::AcqRel) != number {
            self.watcher.wake();
        }
    }
}

impl<U: Stream<Item = Result<Bytes, Broken>> + Unpin> Stream for Passing<U> {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.upload).poll_next(cx);
        self.progress.is_at(match &next {
            Poll::Pending => Stage::Awaited,
            Poll::Ready(Some(Ok(chunk))) => {
                self.progress.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Stage::Unread
            }
            Poll::Ready(None) => Stage::Complete,
            Poll::Ready(Some(Err(Broken))) => Stage::Broken,
        });
        next
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// Nothing listens there, the name does not resolve, TLS fails.
    Connect(ConnectFault),
    ConnectTimeout,
    /// The connection broke before the head of the answer.
    Broken,
    /// The same, without a byte of an answer, and the connection had carried calls before: it is likely to have been
    /// closed while it was idle. Where the platform does not tell, it is [`Self::Broken`].
    Stale,
    /// The upstream has not looked at the request, and says so: a stream refused (RFC 9113, 8.7), or above the last
    /// one of a GOAWAY.
    Unprocessed,
    /// All connections that there may be to the upstream carry all they can, and none had room in time.
    Busy,
}

impl SendFault {
    pub const fn cause(self) -> ConnectFault {
        match self {
            Self::Connect(cause) => cause,
            Self::ConnectTimeout => ConnectFault::TimedOut,
            Self::Broken => ConnectFault::Broken,
            Self::Stale => ConnectFault::Stale,
            Self::Unprocessed => ConnectFault::Unprocessed,
            Self::Busy => ConnectFault::ConnectionsBusy,
        }
    }
}

/// An extension of a request that goes upstream: it wants a connection that nothing was sent on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh;

/// What is counted.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request goes to an upstream.
    Started { upstream: &'a str },
    /// The first byte of an answer came, or the attempt failed.
    Answered { upstream: &'a str, after: Duration, failure: Option<Condition> },
    /// The upstream is done with it, or it was cancelled.
    Over { upstream: &'a str },
    /// A connection that had been used before was broken; the call goes out again on a fresh one, if it can.
    Stale { upstream: &'a str },
    /// The upstream has sent a request back that it had not looked at; it goes out again, if it can.
    Unprocessed { upstream: &'a str },
    /// No connection, or one that broke before the answer began.
    Unconnected { upstream: &'a str, cause: ConnectFault },
    /// A websocket to an upstream is open.
    WebSocketOpened { upstream: &'a str },
    /// It is no longer.
    WebSocketClosed { upstream: &'a str },
    /// The same upstream is asked once more.
    Retried { upstream: &'a str },
    /// The next candidate is asked.
    FellBack { route: &'a str, upstream: &'a str },
    /// A call had to wait for its turn.
    Queued { limiter: &'a str, waited: Duration },
    /// A call was turned away: too many were before it.
    Shed { limiter: &'a str, why: Why },
    /// A request was not admitted.
    Refused { request_id: &'a str, caller: &'a str, refusal: &'a Refusal },
    /// An operator, named by the key that was shown, gives an order. Should it not be taken, a refusal
    /// follows.
    Ordered { request_id: &'a str, who: &'static str, order: &'a Order },
}
