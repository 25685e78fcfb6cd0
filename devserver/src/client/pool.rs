//! Connections to one origin that are made alike, and the calls that wait for one.
//!
//! A call takes a connection of HTTP/1.1 that is idle, or room on one of HTTP/2: as many calls as its peer has said it
//! takes, so that none waits unseen inside of it. Where there is neither, it waits here, in the order of arrival, and
//! another connection is made: one for each call that waits, or as many of HTTP/2 as they need and there may be.
//! A connection has an age, from which on it ends with what it carries.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};

use super::connection::{About, Http1, Http2, New, Posted};
use super::connector::Connector;
use super::lease::{Carrier, Lease};

/// How long an idle connection is kept.
pub(super) const IDLE: Duration = Duration::from_secs(90);

/// Idle connections of HTTP/1.1, and calls that wait, at most. More of the first are closed, more of the others turned away.
const MOST_IDLE: usize = 1024;
const MOST_WAITING: usize = 4096;

/// How long what answered its last call may take to be ready for the next one.
const SETTLING: Duration = Duration::from_secs(1);

/// Beyond what making a connection may take: its own deadline tells better what went wrong.
const MARGIN: Duration = Duration::from_millis(500);

/// How an upstream wants its connections to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long one may take to be made.
    pub(super) connect: Duration,
    /// From when on one takes no new call.
    pub(super) age: Duration,
    /// Connections of HTTP/2 at most.
    pub(super) most: usize,
}

pub(super) struct Pool<B: Posted> {
    /// What leads to it; the path does not matter.
    to: Uri,
    connector: Connector,
    state: Mutex<State<B>>,
}

impl<B: Posted> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("to", &self.to).finish_non_exhaustive()
    }
}

struct State<B: Posted> {
    terms: Terms,
    idle: Vec<Idle<B>>,
    shared: Vec<Arc<Http2<B>>>,
    /// Connections that are being made.
    opening: usize,
    spoken: Spoken,
    waiting: VecDeque<Waiting<B>>,
    last_used: Instant,
}

/// What is spoken at the origin, as far as the last connection that was made has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    /// One connection finds out; until then it is not known how many are needed.
    Unknown,
    Http1,
    /// So many calls at the same time on each connection.
    Http2(usize),
}

struct Idle<B: Posted> {
    connection: Http1<B>,
    since: Instant,
}

type Given<B> = Result<Lease<B>, ConnectFault>;

/// Calls that are to be given something, and what: told without the lock.
type Due<B> = Vec<(oneshot::Sender<Given<B>>, Given<B>)>;

/// A call that waits.
struct Waiting<B: Posted> {
    give: oneshot::Sender<Given<B>>,
    /// Told once when no connection is made for it: there are as many as there may be, and it waits for room.
    for_room: Option<oneshot::Sender<()>>,
}

impl<B: Posted> State<B> {
    fn take(&mut self, now: Instant) -> Option<Carrier<B>> {
        while let Some(Idle { connection, since }) = self.idle.pop() {
            let is_usable = connection.about.retires > now && now.duration_since(since) < IDLE;
            if is_usable && !connection.sender.is_closed() {
                return Some(Carrier::Http1(connection));
            }
        }
        self.shared.retain(|shared| shared.is_usable(now));
        self.shared.iter().find(|shared| shared.take()).map(|shared| Carrier::Http2(Arc::clone(shared)))
    }

    fn add_idle(&mut self, connection: Http1<B>) {
        let is_usable = connection.about.retires > Instant::now() && !connection.sender.is_closed();
        if is_usable && self.idle.len() < MOST_IDLE {
            self.idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn has_waiting(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.give.is_closed())
    }

    /// Tells those for whom no connection is being made.
    fn tell_for_room(&mut self) {
        let supply = self.supply();
        for waiting in self.waiting.iter_mut().skip(supply) {
            // One that has left does not care.
            let _ = waiting.for_room.take().map(|tell| tell.send(()));
        }
    }

    fn next_waiting(&mut self) -> Option<oneshot::Sender<Given<B>>> {
        loop {
            let next = self.waiting.pop_front()?;
            if !next.give.is_closed() {
                return Some(next.give);
            }
        }
    }

    /// How many connections are to be made for those that wait.
    fn lack(&self) -> usize {
        let needed = match self.spoken {
            Spoken::Unknown => self.waiting.len().min(1),
            Spoken::Http1 => self.waiting.len(),
            Spoken::Http2(streams) => {
                let may_be = self.terms.most.saturating_sub(self.shared.len());
                self.waiting.len().div_ceil(streams.max(1)).min(may_be)
            }
        };
        needed.saturating_sub(self.opening)
    }

    /// How many calls the connections that are being made will take.
    fn supply(&self) -> usize {
        match self.spoken {
            Spoken::Unknown if self.opening > 0 => usize::MAX,
            Spoken::Unknown | Spoken::Http1 => self.opening,
            Spoken::Http2(streams) => self.opening.saturating_mul(streams),
        }
    }
}

impl<B: Posted> Pool<B> {
    pub(super) fn new(to: Uri, connector: Connector, terms: Terms) -> Self {
        let state = State {
            terms,
            idle: Vec::new(),
            shared: Vec::new(),
            opening: 0,
            spoken: if to.scheme() == Some(&Scheme::HTTP) { Spoken::Http1 } else { Spoken::Unknown },
            waiting: VecDeque::new(),
            last_used: Instant::now(),
        };
        Self { to, connector, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one call. `queued` is held for as long as it waits where no connection is made for it.
    pub(super) async fn lease<Q>(
        self: &Arc<Self>,
        terms: Terms,
        dispatch: &Dispatch,
        queued: impl FnOnce() -> Q,
    ) -> Result<Lease<B>, SendFault> {
        let (given, mut for_room) = {
            let (now, mut state) = (Instant::now(), self.state());
            (state.terms, state.last_used) = (terms, now);
            // Nobody goes before those who wait.
            state.waiting.retain(|waiting| !waiting.give.is_closed());
            if state.waiting.is_empty()
                && let Some(carrier) = state.take(now)
            {
                return Ok(Lease::new(self, carrier));
            }
            if state.waiting.len() >= MOST_WAITING {
                return Err(SendFault::Busy);
            }
            let ((give, given), (tell, for_room)) = (oneshot::channel(), oneshot::channel());
            state.waiting.push_back(Waiting { give, for_room: Some(tell) });
            let lack = state.lack();
            self.open(&mut state, lack);
            state.tell_for_room();
            (given, for_room)
        };
        let mut given = pin!(timeout(terms.connect + MARGIN, given));
        let early = tokio::select! {
            biased;
            given = &mut given => Some(given),
            Ok(()) = &mut for_room => None,
        };
        let (given, is_for_room) = if let Some(given) = early {
            (given, false)
        } else {
            let started = Instant::now();
            dispatch.queue();
            let _queued = queued();
            let given = given.await;
            dispatch.leave_queue(started.elapsed());
            (given, true)
        };
        match given {
            Ok(Ok(Ok(lease))) => Ok(lease),
            Ok(Ok(Err(fault))) => Err(unconnected(fault)),
            // Others have all there is, or what was being made has come to nothing.
            Ok(Err(_)) | Err(_) if is_for_room || !self.state().shared.is_empty() => Err(SendFault::Busy),
            Ok(Err(_)) | Err(_) => Err(SendFault::ConnectTimeout),
        }
    }

    /// A connection for one call alone.
    pub(super) async fn own(self: &Arc<Self>, terms: Terms) -> Result<Lease<B>, SendFault> {
        let made = self.make(terms).await.map_err(unconnected)?;
        let carrier = match made {
            New::Http1(connection) => Carrier::Http1(connection),
            New::Http2(connection) => {
                connection.take();
                connection.retire();
                Carrier::Http2(Arc::new(connection))
            }
        };
        Ok(Lease::alone(carrier))
    }

    async fn make(&self, terms: Terms) -> Result<New<B>, ConnectFault> {
        let deadline = Instant::now() + terms.connect;
        let connected = self.connector.connect(&self.to, deadline).await?;
        if !connected.refused.is_empty() {
            // The name has another address: what leads to one that refuses takes nothing new.
            let mut state = self.state();
            let is_left = |about: &About| connected.refused.contains(&about.address);
            state.idle.retain(|idle| !is_left(&idle.connection.about));
            let left = state.shared.iter().filter(|shared| is_left(&shared.about));
            left.for_each(|shared| shared.retire());
        }
        New::begin(connected, Instant::now() + jittered(terms.age), deadline).await
    }

    /// Makes so many more connections.
    fn open(self: &Arc<Self>, state: &mut State<B>, count: usize) {
        for _ in 0..count {
            state.opening += 1;
            let (opening, terms) = (Opening(Arc::clone(self)), state.terms);
            tokio::spawn(async move {
                let made = opening.0.make(terms).await;
                opening.end(made);
            });
        }
    }

    /// Gives those who wait what there is for them.
    fn feed(self: &Arc<Self>, state: &mut State<B>) -> Due<B> {
        let (now, mut due) = (Instant::now(), Due::new());
        while state.has_waiting() {
            let Some(carrier) = state.take(now) else { break };
            let Some(next) = state.next_waiting() else { break };
            due.push((next, Ok(Lease::new(self, carrier))));
        }
        let lack = state.lack();
        self.open(state, lack);
        state.tell_for_room();
        due
    }

    /// A connection has been made, or not.
    fn made(self: &Arc<Self>, made: Result<New<B>, ConnectFault>) {
        let due = {
            let mut state = self.state();
            match made {
                Ok(New::Http1(connection)) => {
                    state.spoken = Spoken::Http1;
                    state.add_idle(connection);
                    self.feed(&mut state)
                }
                Ok(New::Http2(connection)) => {
                    state.spoken = Spoken::Http2(connection.most());
                    let may_be = state.shared.len() < state.terms.most;
                    // Others may have ended meanwhile, so that it is not needed any more.
                    let is_needed = state.has_waiting() || state.shared.is_empty();
                    if is_needed && may_be {
                        state.shared.push(Arc::new(connection));
                    }
                    self.feed(&mut state)
                }
                Err(fault) => {
                    let (all, one) = match state.spoken {
                        Spoken::Unknown => (true, false),
                        Spoken::Http1 => (false, true),
                        Spoken::Http2(_) => (state.shared.is_empty() && state.opening == 0, false),
                    };
                    let mut due = Due::new();
                    while (all || (one && due.is_empty()))
                        && let Some(next) = state.next_waiting()
                    {
                        due.push((next, Err(fault)));
                    }
                    due
                }
            }
        };
        tell(due);
    }

    /// A connection of HTTP/1.1 has brought a call to its end, and may take another one.
    pub(super) fn return_http1(self: &Arc<Self>, mut connection: Http1<B>) {
        if connection.sender.is_closed() {
            return;
        }
        if connection.sender.is_ready() {
            return self.is_free(connection);
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = Arc::clone(self);
        runtime.spawn(async move {
            if let Ok(Ok(())) = timeout(SETTLING, connection.sender.ready()).await {
                pool.is_free(connection);
            }
        });
    }

    fn is_free(self: &Arc<Self>, connection: Http1<B>) {
        let due = {
            let mut state = self.state();
            state.add_idle(connection);
            if state.waiting.is_empty() { Due::new() } else { self.feed(&mut state) }
        };
        tell(due);
    }

    /// A call on a connection of HTTP/2 is over.
    pub(super) fn return_http2(self: &Arc<Self>) {
        let due = {
            let mut state = self.state();
            if state.waiting.is_empty() || Handle::try_current().is_err() {
                return;
            }
            self.feed(&mut state)
        };
        tell(due);
    }

    /// Closes idle connections over which nothing has come since `since`.
    pub(super) fn leave_unheard(&self, since: u64) {
        self.state().idle.retain(|idle| idle.connection.about.past.heard_at() >= since);
    }

    /// Closes what is too old or idle for too long. Whether there is nothing left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.idle.retain(|Idle { connection, since }| {
            let is_young = connection.about.retires > now && now.duration_since(*since) < IDLE;
            is_young && !connection.sender.is_closed()
        });
        state.shared.retain(|shared| shared.is_usable(now) && !shared.is_idle_for(IDLE));
        let is_empty = state.idle.is_empty() && state.shared.is_empty();
        is_empty
            && state.waiting.is_empty()
            && state.opening == 0
            && now.duration_since(state.last_used) > IDLE
    }
}

/// Without the lock: what cannot be given goes back.
fn tell<B: Posted>(due: Due<B>) {
    for (waiting, given) in due {
        // One that has left meanwhile gives it back by dropping it.
        drop(waiting.send(given));
    }
}

/// A connection that is being made, counted as long as it is.
struct Opening<B: Posted>(Arc<Pool<B>>);

impl<B: Posted> Opening<B> {
    fn end(self, made: Result<New<B>, ConnectFault>) {
        let pool = Arc::clone(&self.0);
        drop(self);
        pool.made(made);
    }
}

impl<B: Posted> Drop for Opening<B> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opening = state.opening.saturating_sub(1);
    }
}

fn unconnected(fault: ConnectFault) -> SendFault {
    if fault == ConnectFault::TimedOut { SendFault::ConnectTimeout } else { SendFault::Connect(fault) }
}

/// Between four fifths of `age` and all of it, so that connections that were made together do not end together.
fn jittered(age: Duration) -> Duration {
    let roll = getrandom::u32().unwrap_or(0);
    age.saturating_sub((age / 5).mul_f64(f64::from(roll) / f64::from(u32::MAX)))
}
