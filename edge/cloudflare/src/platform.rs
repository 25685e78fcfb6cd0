//! The isolate as the core's platform.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use weir::breaker::Report;
use weir::config::Upstream;
use weir::control::{Entry, Listing, Order, Unheeded};
use weir::flight::Flights;
use weir::metrics;
use weir::overload::Limiters;
use weir::platform::{
    Ask, Closing, Event, Finding, Lease, Opened, Overheard, Payload, Peer, Piece, Platform, Renewed,
    SendFault, StoreLost,
};
use weir::time::{Instant, UnixMillis};

use crate::fetch::{self, Download};
use crate::incoming::Incoming;
use crate::isolate::Isolate;
use crate::log;
use crate::sleep::Sleep;

/// One request's handle to its isolate.
#[derive(Clone)]
pub(crate) struct Edge(Rc<Isolate>);

/// Says who calls: the platform puts the address there, and lets no client do so.
pub(crate) fn introduce(head: &mut Parts) {
    let address = head.headers.get("cf-connecting-ip").and_then(|value| value.to_str().ok());
    if let Some(address) = address.and_then(|address| address.parse::<IpAddr>().ok()) {
        head.extensions.insert(Peer(address.to_canonical()));
    }
}

impl Edge {
    pub(crate) fn new(isolate: Rc<Isolate>) -> Self {
        Self(isolate)
    }
}

/// Milliseconds since 1970. In production the clock stands still between two waits.
fn millis() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates at both ends"
    )]
    let millis = js_sys::Date::now() as u64;
    millis
}

/// Counted from 1970 as well: a store that begins at zero would have retries saved up since then.
pub(crate) fn now() -> Instant {
    Instant::from_micros(millis().saturating_mul(1000))
}

impl Platform for Edge {
    type Upload = Incoming;
    type Download = Download;
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        now()
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(millis())
    }

    fn roll(&self) -> u64 {
        self.0.roll()
    }

    fn sleep(&self, span: Duration) -> Self::Sleep {
        Sleep::new(span)
    }

    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost> {
        Ok(self.0.store.borrow_mut().open(ask, self.now()))
    }

    fn open_locally(&self, ask: Ask<'_>) -> Opened {
        self.0.store.borrow_mut().open(ask, self.now())
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        self.0.store.borrow_mut().withdraw_retry(breaker, self.now())
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        self.0.store.borrow_mut().lease_probe(breaker, id, self.now())
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        let report = Report { id, now: self.now(), roll: self.roll() };
        self.0.store.borrow_mut().report_probe(&finding, report);
    }

    /// The platform does not say when it has connected, so the upstream's connect timeout has nothing to bound.
    async fn send(
        &self,
        _: &Upstream,
        request: http::Request<Payload<Self::Upload>>,
    ) -> Result<http::Response<Self::Download>, SendFault> {
        fetch::send(request).await
    }

    async fn close(&self, closing: Closing) {
        self.0.store.borrow_mut().close(&closing, self.now(), self.roll());
        self.0.record(&closing.record);
        log::record(&closing.record);
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        Ok(self.0.store.borrow_mut().control(order, self.now())?)
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        Ok(self.0.store.borrow().breakers(names, self.now()))
    }

    /// What is kept is kept for the isolate, and no request of it can wake another.
    fn is_one_of_several(&self) -> bool {
        true
    }

    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost> {
        Ok(self.0.store.borrow_mut().renew(&lease, id, piece, self.now()))
    }

    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost> {
        Ok(self.0.store.borrow_mut().overhear(&lease, id, from, self.now()))
    }

    /// One request of an isolate must not wake another: its I/O would be done in the other's name, and fail.
    fn flights(&self) -> Option<&Flights> {
        None
    }

    fn limiters(&self) -> Option<&Limiters> {
        None
    }

    fn observe(&self, event: Event<'_>) {
        metrics::event(&event, &mut *self.0.metrics.borrow_mut());
        log::event(&event);
        let now = self.now();
        match event {
            Event::Started { upstream } => self.0.store.borrow_mut().start(upstream),
            Event::Over { upstream } => self.0.store.borrow_mut().finish(upstream),
            Event::Answered { upstream, after, failure } => {
                self.0.store.borrow_mut().sample(upstream, after, failure.is_some(), now);
            }
            Event::Retried { .. }
            | Event::FellBack { .. }
            | Event::Queued { .. }
            | Event::Shed { .. }
            | Event::Refused { .. }
            | Event::Ordered { .. } => {}
        }
    }
}
