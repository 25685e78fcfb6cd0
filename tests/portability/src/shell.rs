//! The shell: every promise of [`Platform`], kept in cells.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream as _;
use weir::cache::in_flight::Flights;
use weir::ledger::record::Record;
use weir::limits::admission::Admission;
use weir::limits::concurrency::Limiters;
use weir::platform::{self, Clock as _};
use weir::random;
use weir::routing::breaker::Report;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::{Dispatch, Fresh, SendFault};
use weir::routing::usage_refusals::UsageRefusals;
use weir::store::embedded::Store;
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Held, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::telemetry::event::Event;
use weir::time::{Instant, UnixMillis};
use weir::wire::upload::Payload;
use weir::wire::websocket::Upgraded;
use weir::wire::websocket::tunnel::{Connection, Tunnel};

use crate::clock::{Clock, Sleep};
use crate::flow::{Flow, Watch};
use crate::socket::Socket;
use crate::upstream::{Act, Sent};

/// Bytes of answers that are kept.
const CACHE: u64 = 16 << 20;

/// A shell of one thread. A clone is the same shell.
#[derive(Clone, Debug)]
pub struct Shell(Rc<Inside>);

#[derive(Debug)]
struct Inside {
    clock: Clock,
    rolls: Cell<Rolls>,
    store: Rc<RefCell<Store>>,
    is_one_of_several: bool,
    /// What the process keeps by itself.
    local: RefCell<Store>,
    is_store_lost: Cell<bool>,
    computed: Cell<usize>,
    shares: Cell<bool>,
    flights: Flights,
    usage_refusals: UsageRefusals,
    limiters: Limiters,
    admission: Admission,
    scripts: Rc<RefCell<BTreeMap<String, VecDeque<Act>>>>,
    opened: Cell<usize>,
    renewed: Cell<usize>,
    held: Cell<usize>,
    /// Ends of calls that the store was not told.
    late: RefCell<Vec<Closing>>,
    carried: Cell<usize>,
    sent: Rc<RefCell<Vec<Sent>>>,
    records: RefCell<Vec<Record>>,
    events: RefCell<Vec<String>>,
    websocket: RefCell<Option<(Socket, Socket)>>,
}

/// What one of several shells is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its own requests can wake each other.
    Process,
    /// None of its requests can wake another.
    Instance,
}

/// Where chance comes from.
#[derive(Clone, Copy, Debug)]
pub enum Rolls {
    /// The same each time.
    Always(u64),
    /// A sequence (`SplitMix64`).
    Seeded(u64),
}

impl Default for Shell {
    /// It is 2026, the retry budget is fresh, and every roll is 0: no back-off waits, and a split takes the
    /// first.
    fn default() -> Self {
        let clock = Clock::default();
        Self(Rc::new(Inside {
            store: Rc::new(RefCell::new(Store::new(clock.now(), CACHE))),
            is_one_of_several: false,
            local: RefCell::new(Store::new(clock.now(), 0)),
            is_store_lost: Cell::new(false),
            computed: Cell::new(0),
            shares: Cell::new(false),
            flights: Flights::default(),
            usage_refusals: UsageRefusals::default(),
            limiters: Limiters::default(),
            admission: Admission::default(),
            clock,
            rolls: Cell::new(Rolls::Always(0)),
            scripts: Rc::default(),
            opened: Cell::new(0),
            renewed: Cell::new(0),
            held: Cell::new(0),
            late: RefCell::default(),
            carried: Cell::new(0),
            sent: Rc::default(),
            records: RefCell::default(),
            events: RefCell::default(),
            websocket: RefCell::default(),
        }))
    }
}

impl Shell {
    /// One whose requests can wake each other: calls are shared, and wait for their turn.
    pub fn sharing() -> Self {
        let shell = Self::default();
        shell.0.shares.set(true);
        shell
    }

    /// So many shells on one store, with the same clock and upstreams.
    pub fn several(count: u64, kind: Kind) -> Vec<Self> {
        let Self(first) = Self::default();
        let replica = |number: u64| Inside {
            clock: first.clock.clone(),
            rolls: Cell::new(Rolls::Seeded(number.wrapping_mul(random::STEP.rotate_left(17)))),
            store: Rc::clone(&first.store),
            is_one_of_several: true,
            local: RefCell::new(Store::new(first.clock.now(), 0)),
            is_store_lost: Cell::new(false),
            computed: Cell::new(0),
            shares: Cell::new(kind == Kind::Process),
            flights: Flights::default(),
            usage_refusals: UsageRefusals::default(),
            admission: Admission::default(),
            limiters: Limiters::default(),
            scripts: Rc::clone(&first.scripts),
            opened: Cell::new(0),
            renewed: Cell::new(0),
            held: Cell::new(0),
            late: RefCell::default(),
            carried: Cell::new(0),
            sent: Rc::clone(&first.sent),
            records: RefCell::default(),
            events: RefCell::default(),
            websocket: RefCell::default(),
        };
        (1..=count).map(|number| Self(Rc::new(replica(number)))).collect()
    }

    pub fn shares(&self) -> bool {
        self.0.shares.get()
    }

    /// From now on the store is lost, or found again.
    pub fn lose_store(&self, is_lost: bool) {
        self.0.is_store_lost.set(is_lost);
        if !is_lost {
            for closing in self.0.late.take() {
                self.0.store.borrow_mut().close(&closing, self.now(), 0);
            }
        }
    }

    /// Times that a call has said that it still holds what it holds.
    pub fn held_on(&self) -> usize {
        self.0.held.get()
    }

    /// How often something was computed that takes long.
    pub fn computed(&self) -> usize {
        self.0.computed.get()
    }

    /// Calls that may be shared.
    pub fn in_the_air(&self) -> usize {
        self.0.flights.len()
    }

    /// The store that answers at the moment.
    fn counting(&self) -> RefMut<'_, Store> {
        if self.0.is_store_lost.get() { self.0.local.borrow_mut() } else { self.0.store.borrow_mut() }
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn set_rolls(&self, rolls: Rolls) {
        self.0.rolls.set(rolls);
    }

    /// What `upstream` does, attempt by attempt; the last goes on for ever.
    pub fn script(&self, upstream: &str, acts: impl IntoIterator<Item = impl Into<Act>>) {
        let acts = acts.into_iter().map(Into::into).collect();
        self.0.scripts.borrow_mut().insert(upstream.to_owned(), acts);
    }

    /// Requests that the store was told of.
    pub fn opened(&self) -> usize {
        self.0.opened.get()
    }

    /// How often a leader has said that it is still there.
    pub fn renewed(&self) -> usize {
        self.0.renewed.get()
    }

    /// How often a leader has told those who listen elsewhere what its answer said.
    pub fn carried(&self) -> usize {
        self.0.carried.get()
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.0.sent.borrow().clone()
    }

    /// The names of the upstreams, in the order in which they were asked.
    pub fn asked(&self) -> Vec<String> {
        self.0.sent.borrow().iter().map(|sent| sent.upstream.clone()).collect()
    }

    pub fn records(&self) -> Vec<Record> {
        self.0.records.borrow().clone()
    }

    /// As they print.
    pub fn events(&self) -> Vec<String> {
        self.0.events.borrow().clone()
    }

    /// From now on websockets are opened, with these connections to the client and to the upstream.
    pub fn relay_websockets(&self) -> (Socket, Socket) {
        let both = (Socket::default(), Socket::default());
        self.0.websocket.replace(Some(both.clone()));
        both
    }

    pub fn in_flight(&self) -> u64 {
        self.0.store.borrow().in_flight()
    }

    /// Bytes of answers that the core has taken.
    pub fn handed(&self) -> usize {
        self.0.sent.borrow().iter().map(|sent| sent.progress.handed()).sum()
    }

    #[expect(clippy::panic, reason = "a test's own script is wrong")]
    fn next_act(&self, upstream: &str) -> Act {
        let mut scripts = self.0.scripts.borrow_mut();
        let Some(acts) = scripts.get_mut(upstream) else { panic!("{upstream} has no script") };
        let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
        act.unwrap_or(Act::Silence)
    }
}

impl platform::Platform for Shell {
    fn usage_refusals(&self) -> Option<&UsageRefusals> {
        self.0.shares.get().then_some(&self.0.usage_refusals)
    }

    fn flights(&self) -> Option<&Flights> {
        self.0.shares.get().then_some(&self.0.flights)
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }

    fn limiters(&self) -> Option<&Limiters> {
        self.0.shares.get().then_some(&self.0.limiters)
    }
}

impl platform::Clock for Shell {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.0.clock.now()
    }

    fn wall(&self) -> UnixMillis {
        const YEAR_2026: u64 = 1_767_225_600_000;
        UnixMillis(YEAR_2026 + self.now().as_micros() / 1000)
    }

    fn roll(&self) -> u64 {
        match self.0.rolls.get() {
            Rolls::Always(roll) => roll,
            Rolls::Seeded(seed) => {
                self.0.rolls.set(Rolls::Seeded(seed.wrapping_add(random::STEP)));
                random::scramble(seed)
            }
        }
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.0.clock.sleep(span)
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.computed.set(self.0.computed.get() + 1);
        away().await;
        work()
    }
}

impl platform::Store for Shell {
    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(StoreLost);
        }
        // What is held no longer than now is a charge for a request that was refused, or never came.
        if ask.reservation.is_some_and(|reservation| !reservation.want.lasts.is_zero()) {
            self.0.opened.set(self.0.opened.get() + 1);
        }
        Ok(self.0.store.borrow_mut().open(ask, self.now()))
    }

    fn open_locally(&self, ask: Ask<'_>) -> Opened {
        self.0.local.borrow_mut().open(ask, self.now())
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        away().await;
        self.counting().withdraw_retry(breaker, self.now())
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        away().await;
        self.counting().lease_probe(breaker, id, self.now())
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        away().await;
        let report = Report { id, now: self.now(), roll: self.roll() };
        self.counting().report_probe(&finding, report);
    }

    async fn close(&self, closing: Closing) {
        away().await;
        let (now, roll) = (self.now(), self.roll());
        match closing.reservation.held {
            Held::Locally => self.0.local.borrow_mut().close(&closing, now, roll),
            Held::InStore if self.0.is_store_lost.get() => self.0.late.borrow_mut().push(closing.clone()),
            Held::InStore => self.0.store.borrow_mut().close(&closing, now, roll),
        }
        let record = closing.record;
        self.0.records.borrow_mut().push(record);
    }

    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost> {
        away().await;
        self.0.held.set(self.0.held.get() + 1);
        let mut store = match holding.reservation.held {
            Held::Locally => self.0.local.borrow_mut(),
            Held::InStore if self.0.is_store_lost.get() => return Err(StoreLost),
            Held::InStore => self.0.store.borrow_mut(),
        };
        store.renew_hold(holding, self.now());
        Ok(())
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(Unheeded::StoreLost);
        }
        Ok(self.0.store.borrow_mut().control(order, self.now())?)
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(StoreLost);
        }
        Ok(self.0.store.borrow_mut().breakers(names, self.now()))
    }

    fn is_one_of_several(&self) -> bool {
        self.0.is_one_of_several
    }

    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(StoreLost);
        }
        let count = if piece.is_some() { &self.0.carried } else { &self.0.renewed };
        count.set(count.get() + 1);
        Ok(self.0.store.borrow_mut().renew(&lease, id, piece, self.now()))
    }

    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(StoreLost);
        }
        Ok(self.0.store.borrow_mut().overhear(&lease, id, from, self.now()))
    }

    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost> {
        away().await;
        if self.0.is_store_lost.get() {
            return Err(StoreLost);
        }
        Ok(self.0.store.borrow_mut().own(ownership, self.now()))
    }
}

impl platform::Transport for Shell {
    type Upload = Flow;
    type Download = Flow;

    async fn send(
        &self,
        upstream: &Upstream,
        request: http::Request<Payload<Flow>>,
        dispatch: &Dispatch,
    ) -> Result<http::Response<Flow>, SendFault> {
        let (head, payload) = request.into_parts();
        let body = read(payload).await?;
        let watch = Watch::default();
        let sent = Sent {
            upstream: upstream.name.clone(),
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            is_fresh: head.extensions.get::<Fresh>().is_some(),
            body,
            at: self.now(),
            progress: watch.0.clone(),
        };
        self.0.sent.borrow_mut().push(sent);
        match self.next_act(&upstream.name) {
            Act::NoConnection => {
                self.sleep(upstream.timeouts.connect).await;
                Err(SendFault::ConnectTimeout)
            }
            Act::Fault(fault) => {
                away().await;
                Err(fault)
            }
            Act::Silence => std::future::pending().await,
            Act::Queued(wait, answer) => {
                dispatch.queue();
                self.sleep(wait).await;
                dispatch.leave_queue(wait);
                self.sleep(answer.wait()).await;
                let (head, beats, end) = answer.into_parts();
                Ok(head.map(|()| Flow::watched(&self.0.clock, beats, end, watch)))
            }
            Act::Answer(answer) => {
                away().await;
                self.sleep(answer.wait()).await;
                let (head, beats, end) = answer.into_parts();
                Ok(head.map(|()| Flow::watched(&self.0.clock, beats, end, watch)))
            }
        }
    }

    fn relays_websockets(&self) -> bool {
        self.0.websocket.borrow().is_some()
    }

    async fn upgrade(
        &self,
        _: &Upstream,
        _: http::Request<Payload<Flow>>,
    ) -> Result<Upgraded<Flow>, SendFault> {
        away().await;
        let Some((client, upstream)) = self.0.websocket.borrow().clone() else {
            return Err(SendFault::Broken);
        };
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in [("upgrade", "websocket"), ("sec-websocket-accept", "x")] {
            head.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        let tunnel = Tunnel {
            client: Box::pin(async { Ok(Box::new(client) as Connection) }),
            upstream: Box::pin(async { Ok(Box::new(upstream) as Connection) }),
            going_away: Box::pin(std::future::pending()),
        };
        Ok(Upgraded::Switched(head, tunnel))
    }
}

impl platform::Observe for Shell {
    fn observe(&self, event: Event<'_>) {
        self.0.events.borrow_mut().push(format!("{event:?}"));
        match event {
            Event::Started { upstream } => self.0.store.borrow_mut().start(upstream),
            Event::Over { upstream } => self.0.store.borrow_mut().finish(upstream),
            Event::Answered { upstream, after, failure } => {
                let now = self.now();
                self.0.store.borrow_mut().sample(upstream, after, failure.is_some(), now);
            }
            Event::Unconnected { upstream, cause } => {
                let now = self.now();
                self.0.store.borrow_mut().unconnected(upstream, cause, now);
            }
            Event::Stale { .. }
            | Event::Unprocessed { .. }
            | Event::Retried { .. }
            | Event::FellBack { .. }
            | Event::Queued { .. }
            | Event::Shed { .. }
            | Event::WebSocketOpened { .. }
            | Event::WebSocketClosed { .. }
            | Event::Refused { .. }
            | Event::Ordered { .. } => {}
        }
    }
}

/// One poll goes by, as with anything that is asked of another machine.
async fn away() {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn read(payload: Payload<Flow>) -> Result<Bytes, SendFault> {
    let flow = match payload {
        Payload::Empty => return Ok(Bytes::new()),
        Payload::Whole(bytes) => return Ok(bytes),
        Payload::Stream(flow) => flow,
    };
    let (mut flow, mut body) = (pin!(flow), BytesMut::new());
    while let Some(chunk) = poll_fn(|cx| flow.as_mut().poll_next(cx)).await {
        body.extend_from_slice(&chunk.map_err(|_| SendFault::Broken)?);
    }
    Ok(body.freeze())
}
