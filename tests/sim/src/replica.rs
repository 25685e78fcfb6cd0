//! A replica of the gateway: the real core on a platform of cells, with the run's clock, store and upstreams.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream as _;
use weir::cache::in_flight::Flights;
use weir::limits::admission::Admission;
use weir::limits::concurrency::Limiters;
use weir::platform::{self, Clock as _};
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Held, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::telemetry::event::Event;
use weir::time::{Instant, UnixMillis};
use weir::wire::upload::Payload;
use weir_portability::Sleep;

use crate::counter::{Counter, Sabotage};
use crate::ledger::judge_record;
use crate::plan::Kind;
use crate::provider::{self, Download};
use crate::request::Reserved;
use crate::store::ask;
use crate::upload::Upload;
use crate::world::World;

/// One life of a replica. A clone is another handle.
#[derive(Clone, Debug)]
pub(crate) struct Replica(Rc<Inside>);

#[derive(Debug)]
struct Inside {
    world: Rc<World>,
    number: usize,
    life: u32,
    /// What it counts by itself while the store is lost.
    local: Counter,
    flights: Flights,
    limiters: Limiters,
    admission: Admission,
    /// Calls at each upstream, as it was told of them.
    in_flight: RefCell<BTreeMap<String, i64>>,
}

impl Replica {
    pub(crate) fn new(world: &Rc<World>, number: usize, life: u32) -> Self {
        Self(Rc::new(Inside {
            local: Counter::new(Held::Locally, world.now(), Sabotage::None),
            world: Rc::clone(world),
            number,
            life,
            flights: Flights::default(),
            limiters: Limiters::default(),
            admission: Admission::default(),
            in_flight: RefCell::default(),
        }))
    }

    pub(crate) fn number(&self) -> usize {
        self.0.number
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.world.plan.replicas[self.0.number]
    }

    pub(crate) fn local(&self) -> &Counter {
        &self.0.local
    }

    /// Nothing is under way: no permit, no place in a queue, no flight, no call.
    pub(crate) fn judge_rest(&self) {
        let Inside { world, number, flights, limiters, in_flight, .. } = &*self.0;
        if !flights.is_empty() {
            world.judge.broken(5, format!("replica {number} is at rest, and has {} flights", flights.len()));
        }
        for load in limiters.snapshot() {
            if load.in_flight != 0 || load.queued != 0 {
                world.judge.broken(5, format!("replica {number} is at rest, and has {load:?}"));
            }
        }
        for (upstream, count) in in_flight.borrow().iter() {
            if *count != 0 {
                let text = format!("replica {number} is at rest, and counts {count} calls at {upstream}");
                world.judge.broken(5, text);
            }
        }
    }

    fn reserved(&self, id: Option<u64>) {
        if let Some(id) = id {
            let world = &self.0.world;
            world.request_mut(world.current()).reservations.insert(id, Reserved::Open);
        }
    }
}

/// A grant that is on its way back to somebody who may leave before it is there.
struct Returning<'a> {
    world: &'a World,
    request: usize,
    id: Cell<Option<u64>>,
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            self.world.count(|tally| tally.unheard += 1);
            self.world.request_mut(self.request).reservations.insert(id, Reserved::Unheard);
        }
    }
}

/// The lease of a probe that is on its way back.
struct Probe<'a> {
    world: &'a World,
    request: usize,
    breaker: Cell<Option<&'a str>>,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.get() {
            self.world.request_mut(self.request).unheard.insert(breaker.to_owned());
        }
    }
}

impl platform::Platform for Replica {
    fn flights(&self) -> Option<&Flights> {
        (self.kind() == Kind::Server).then_some(&self.0.flights)
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }

    fn limiters(&self) -> Option<&Limiters> {
        (self.kind() == Kind::Server).then_some(&self.0.limiters)
    }
}

impl platform::Clock for Replica {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.0.world.now()
    }

    fn wall(&self) -> UnixMillis {
        const YEAR_2026: u64 = 1_767_225_600_000;
        UnixMillis(YEAR_2026 + self.now().as_micros() / 1000)
    }

    fn roll(&self) -> u64 {
        self.0.world.dice.roll()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.0.world.clock.sleep(span)
    }
}

impl platform::Store for Replica {
    async fn open(&self, wanted: Ask<'_>) -> Result<Opened, StoreLost> {
        let world = &self.0.world;
        let returning = Returning { world, request: world.current(), id: Cell::new(None) };
        let opened = ask(world, |counter| {
            let (opened, id) = counter.open(world, wanted);
            returning.id.set(id);
            opened
        });
        let opened = opened.await;
        match (&opened, returning.id.take()) {
            (Ok(_), id) => self.reserved(id),
            (Err(StoreLost), None) => {}
            (Err(StoreLost), Some(id)) => {
                world.request_mut(world.current()).reservations.insert(id, Reserved::Unheard);
            }
        }
        opened
    }

    fn open_locally(&self, wanted: Ask<'_>) -> Opened {
        let world = &self.0.world;
        world.count(|tally| tally.local += 1);
        let (opened, id) = self.0.local.open(world, wanted);
        self.reserved(id);
        opened
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        let world = &self.0.world;
        let asked = ask(world, |counter| counter.withdraw_retry(world, breaker)).await;
        let granted = asked.unwrap_or_else(|StoreLost| self.0.local.withdraw_retry(world, breaker));
        if granted {
            world.request_mut(world.current()).granted += 1;
            world.count(|tally| tally.retries += 1);
        }
        granted
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        let world = &self.0.world;
        let lease = Probe { world, request: world.current(), breaker: Cell::new(None) };
        let asked = ask(world, |counter| {
            let leased = counter.lease_probe(world, breaker, id);
            lease.breaker.set(leased.then_some(breaker));
            leased
        });
        let asked = asked.await;
        lease.breaker.set(None);
        let leased = asked.unwrap_or_else(|StoreLost| self.0.local.lease_probe(world, breaker, id));
        if leased {
            world.judge.note(|| format!("request {} probes {breaker}", world.current()));
            world.request_mut(world.current()).leases.insert(breaker.to_owned());
            world.count(|tally| tally.probes += 1);
        }
        leased
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        let (world, roll) = (&self.0.world, self.roll());
        if ask(world, |counter| counter.report_probe(world, &finding, id, roll)).await.is_err() {
            self.0.local.report_probe(world, &finding, id, roll);
        }
    }

    async fn close(&self, closing: Closing) {
        let (world, roll) = (&self.0.world, self.roll());
        if world.store.counter.sabotage() == Sabotage::LosesBooks {
            return;
        }
        judge_record(world, &closing);
        match closing.reservation.held {
            Held::Locally => self.0.local.close(world, &closing, roll),
            Held::InStore => {
                // Whether it gets there is the store's business; the books of this request are closed.
                let heard = ask(world, |counter| counter.close(world, &closing, roll)).await;
                let id = closing.reservation.want.id;
                if let (Err(StoreLost), Some(reserved)) =
                    (heard, world.request_mut(world.current()).reservations.get_mut(&id))
                {
                    *reserved = Reserved::Unheard;
                }
            }
        }
    }

    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost> {
        let world = &self.0.world;
        match holding.reservation.held {
            Held::Locally => {
                self.0.local.renew_hold(world, holding);
                Ok(())
            }
            Held::InStore => ask(world, |counter| counter.renew_hold(world, holding)).await,
        }
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        Ok(self.0.world.store.counter.control(order, self.now())?)
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        Ok(self.0.world.store.counter.breakers(names, self.now()))
    }

    fn is_one_of_several(&self) -> bool {
        self.0.world.plan.replicas.len() > 1
    }

    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost> {
        let world = &self.0.world;
        ask(world, |counter| counter.renew(world, &lease, id, piece)).await
    }

    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost> {
        let world = &self.0.world;
        ask(world, |counter| counter.overhear(world, &lease, id, from)).await
    }

    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost> {
        let world = &self.0.world;
        ask(world, |counter| counter.own(world, ownership)).await
    }
}

impl platform::Transport for Replica {
    type Upload = Upload;
    type Download = Download;

    async fn send(
        &self,
        upstream: &Upstream,
        request: http::Request<Payload<Upload>>,
        _: &Dispatch,
    ) -> Result<http::Response<Download>, SendFault> {
        let (head, payload) = request.into_parts();
        let body = read(payload).await?;
        let replica = (self.0.number, self.0.life);
        provider::call(&self.0.world, replica, &upstream.name, http::Request::from_parts(head, body)).await
    }
}

impl platform::Observe for Replica {
    fn observe(&self, event: Event<'_>) {
        let change = match event {
            Event::Started { upstream } => Some((upstream, 1)),
            Event::Over { upstream } => Some((upstream, -1)),
            Event::Answered { .. }
            | Event::Stale { .. }
            | Event::Unprocessed { .. }
            | Event::Unconnected { .. }
            | Event::Retried { .. }
            | Event::FellBack { .. }
            | Event::Queued { .. }
            | Event::Shed { .. }
            | Event::WebSocketOpened { .. }
            | Event::WebSocketClosed { .. }
            | Event::Ordered { .. }
            | Event::Refused { .. } => None,
        };
        if let Some((upstream, change)) = change {
            *self.0.in_flight.borrow_mut().entry(upstream.to_owned()).or_default() += change;
        }
        let world = &self.0.world;
        world.judge.note(|| format!("replica {}, request {}: {event:?}", self.0.number, world.current()));
    }
}

async fn read(payload: Payload<Upload>) -> Result<Bytes, SendFault> {
    let stream = match payload {
        Payload::Empty => return Ok(Bytes::new()),
        Payload::Whole(bytes) => return Ok(bytes),
        Payload::Stream(stream) => stream,
    };
    let (mut stream, mut body) = (pin!(stream), BytesMut::new());
    while let Some(chunk) = std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        body.extend_from_slice(&chunk.map_err(|_| SendFault::Broken)?);
    }
    Ok(body.freeze())
}
