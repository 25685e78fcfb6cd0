//! One instance as the core's platform.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use weir::cache::in_flight::Flights;
use weir::limits::admission::Admission;
use weir::limits::concurrency::Limiters;
use weir::platform::{self, Clock as _};
use weir::routing::breaker::Report;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};
use weir::store::embedded;
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Held, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::store::redis::Moment;
use weir::telemetry::event::Event;
use weir::telemetry::metrics::{self, Exposition, Family, Sink as _, Tally};
use weir::time::{Instant, UnixMillis};
use weir::wire::upload::Payload;

use crate::clock::{self, Sleep};
use crate::inflow::Upload;
use crate::log;
use crate::store::Store;
use crate::upstream::{self, Download};

/// A request's instance. A clone is another handle to it.
#[derive(Clone)]
pub(crate) struct Shell(Rc<Inner>);

struct Inner {
    store: Store,
    /// What counts for this one request while the store is lost.
    local: RefCell<embedded::Store>,
    /// Of this one request.
    admission: Admission,
    /// What has been counted and not been told yet.
    tally: RefCell<Tally>,
    /// The request whose books were closed.
    closed: RefCell<String>,
}

/// Between two attempts to tell the store what it could not be told.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];

impl Shell {
    pub(crate) fn new(store: Store) -> Self {
        let local = RefCell::new(embedded::Store::new(clock::now(), 0));
        Self(Rc::new(Inner {
            store,
            local,
            admission: Admission::default(),
            tally: RefCell::default(),
            closed: RefCell::default(),
        }))
    }

    /// Tells what was counted since the books were closed, or without any, and what could not be told before.
    pub(crate) async fn finish(&self) {
        let tally = self.0.tally.take();
        if !tally.is_empty() {
            self.0.store.tell(&tally, self.moment());
        }
        for pause in PAUSES {
            if self.0.store.tell_late() {
                return;
            }
            Sleep::new(pause).await;
        }
        if !self.0.store.tell_late() {
            log::unsettled(&self.0.closed.borrow());
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now(), nonce: self.roll() }
    }
}

impl platform::Platform for Shell {
    fn flights(&self) -> Option<&Flights> {
        None
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }

    fn limiters(&self) -> Option<&Limiters> {
        None
    }
}

impl platform::Clock for Shell {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall(&self) -> UnixMillis {
        clock::wall()
    }

    fn roll(&self) -> u64 {
        wasi::random::random::get_random_u64()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Sleep::new(span)
    }
}

impl platform::Store for Shell {
    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost> {
        self.0.store.open(ask, || self.moment())
    }

    fn open_locally(&self, ask: Ask<'_>) -> Opened {
        self.0.local.borrow_mut().open(ask, self.now())
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        let granted = self.0.store.withdraw_retry(breaker, self.moment());
        granted.unwrap_or_else(|StoreLost| self.0.local.borrow_mut().withdraw_retry(breaker, self.now()))
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        let granted = self.0.store.lease_probe(breaker, id, self.moment());
        granted.unwrap_or_else(|StoreLost| self.0.local.borrow_mut().lease_probe(breaker, id, self.now()))
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        let report = Report { id, now: self.now(), roll: self.roll() };
        if self.0.store.report_probe(&finding, id, report.roll, self.moment()).is_err() {
            self.0.local.borrow_mut().report_probe(&finding, report);
        }
    }

    async fn close(&self, closing: Closing) {
        metrics::record(&closing.record, &mut *self.0.tally.borrow_mut());
        match closing.reservation.held {
            // The count ends with the instance.
            Held::Locally => {}
            Held::InStore => {
                let tally = self.0.tally.take();
                let not_kept = self.0.store.close(&closing, &tally, self.roll(), self.moment());
                let mut tally = self.0.tally.borrow_mut();
                for why in not_kept {
                    tally.count(Family::AnswersNotKept, &[why.name()], 1);
                }
                self.0.closed.replace(closing.record.request_id.clone());
            }
        }
        log::record(&closing.record);
    }

    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost> {
        match holding.reservation.held {
            Held::Locally => {
                self.0.local.borrow_mut().renew_hold(holding, self.now());
                Ok(())
            }
            Held::InStore => self.0.store.renew_hold(holding, self.moment()),
        }
    }

    /// No instance knows of another's.
    fn shows_calls(&self) -> bool {
        true
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        self.0.store.control(order, || self.moment())
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        self.0.store.breakers(names, || self.moment())
    }

    fn why_store_is_lost(&self) -> Option<String> {
        self.0.store.why_lost()
    }

    /// Each request has an instance of its own.
    fn is_one_of_several(&self) -> bool {
        true
    }

    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost> {
        self.0.store.renew(&lease, id, piece, self.moment())
    }

    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost> {
        self.0.store.overhear(&lease, id, from, self.moment())
    }

    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost> {
        self.0.store.own(ownership, self.moment())
    }
}

impl platform::Transport for Shell {
    type Upload = Upload;
    type Download = Download;

    async fn send(
        &self,
        upstream: &Upstream,
        request: Request<Payload<Upload>>,
        _: &Dispatch,
    ) -> Result<Response<Download>, SendFault> {
        upstream::send(upstream, request).await
    }
}

impl platform::Observe for Shell {
    /// By all instances.
    async fn counted(&self) -> Result<Exposition, StoreLost> {
        self.0.store.sums(self.moment())
    }

    fn observe(&self, event: Event<'_>) {
        metrics::event(&event, &mut *self.0.tally.borrow_mut());
        log::event(&event);
    }
}
