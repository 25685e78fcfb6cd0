//! The native server as the core's platform.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir::cache::in_flight::Flights;
use weir::limits::admission::Admission;
use weir::limits::concurrency::Limiters;
use weir::platform::{self, Clock as _};
use weir::routing::breaker::Report;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};
use weir::routing::usage_refusals::UsageRefusals;
use weir::store::embedded::Store;
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Held, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::store::readings::Readings;
use weir::store::redis::Moment;
use weir::telemetry::event::Event;
use weir::telemetry::metrics::Exposition;
use weir::time::{Instant, UnixMillis};
use weir::wire::upload::Payload;
use weir::wire::websocket::Upgraded;
use weir::{Config, random};

use crate::body::{Chunks, Parcel};
use crate::books::{self, Books};
use crate::cli::Failed;
use crate::client::{Carried, Clients, Dialing, Outgoing};
use crate::computing::Computing;
use crate::connections::Ending;
use crate::metrics::Metrics;
use crate::store::Shared;
use crate::websocket::tunnel;

/// What the whole process shares.
#[derive(Debug)]
pub(crate) struct Process {
    origin: std::time::Instant,
    store: Mutex<Store>,
    /// What counts for as long as the store is lost.
    local: Mutex<Store>,
    flights: Flights,
    limiters: Limiters,
    admission: Admission,
    usage_refusals: UsageRefusals,
    readings: Readings,
    pub(crate) metrics: Metrics,
    pub(crate) books: Books,
    rolls: AtomicU64,
    /// Bytes of cached answers that a shared store keeps.
    cache: Arc<AtomicU64>,
    computing: Computing,
    /// The second of the last line about what is short here.
    told: AtomicU64,
}

/// A worker's handle to the process, with connections of its own.
#[derive(Clone)]
pub(crate) struct Native {
    pub(crate) process: Arc<Process>,
    clients: Arc<Clients>,
    /// What counts where the configuration says so; in the process otherwise.
    shared: Option<Shared>,
    ending: Ending,
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").finish_non_exhaustive()
    }
}

impl Process {
    pub(crate) fn new() -> Result<Self, Failed> {
        let origin = std::time::Instant::now();
        Ok(Self {
            origin,
            store: Mutex::new(Store::new(Instant::default(), 0)),
            local: Mutex::new(Store::new(Instant::default(), 0)),
            flights: Flights::default(),
            limiters: Limiters::default(),
            admission: Admission::default(),
            usage_refusals: UsageRefusals::default(),
            readings: Readings::default(),
            metrics: Metrics::default(),
            books: Books::default(),
            rolls: AtomicU64::new(getrandom::u64().map_err(|e| Failed::because("no randomness", e))?),
            cache: Arc::default(),
            computing: Computing::new().map_err(|e| Failed::because("no threads to compute on", e))?,
            told: AtomicU64::default(),
        })
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Whether nothing was told in this second of what is short here: it may be every call that fails.
    fn is_to_be_told(&self, now: Instant) -> bool {
        let second = now.as_micros() / 1_000_000 + 1;
        self.told.swap(second, Ordering::Relaxed) != second
    }

    fn roll(&self) -> u64 {
        random::scramble(self.rolls.fetch_add(random::STEP, Ordering::Relaxed))
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now(), nonce: self.roll() }
    }

    /// No step leaves a record half changed, so a panic elsewhere does not spoil it.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store that answers at the moment.
    fn counting(&self) -> MutexGuard<'_, Store> {
        if store_is_lost() { self.local() } else { self.store() }
    }

    fn local(&self) -> MutexGuard<'_, Store> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cache(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.cache)
    }

    /// Follows a configuration that has come into force.
    pub(crate) fn follow(&self, config: &Config) {
        self.store().resize_cache(config.store.cache);
        self.cache.store(config.store.cache, Ordering::Relaxed);
    }
}

/// Whether tests want the store lost: the one in the process cannot be.
fn store_is_lost() -> bool {
    #[cfg(feature = "failpoints")]
    fail::fail_point!("store", |_| true);
    false
}

impl Native {
    pub(crate) fn new(
        process: Arc<Process>,
        clients: Clients,
        shared: Option<Shared>,
        ending: Ending,
    ) -> Self {
        Self { process, clients: Arc::new(clients), shared, ending }
    }

    /// Connects to what all replicas share, from the runtime that is to use it.
    pub(crate) async fn connect(&self) {
        if let Some(shared) = &self.shared {
            shared.connect().await;
        }
    }

    fn moment(&self) -> Moment {
        self.process.moment()
    }

    /// What the process knows of upstreams by itself, whatever keeps the rest.
    fn with_standings(&self, ask: Ask<'_>, opened: Opened) -> Opened {
        if opened.is_kept || ask.standings.is_empty() {
            return opened;
        }
        let known = Ask { standings: ask.standings, ..Ask::default() };
        Opened { standings: self.process.store().open(known, self.now()).standings, ..opened }
    }
}

impl platform::Platform for Native {
    fn usage_refusals(&self) -> Option<&UsageRefusals> {
        Some(&self.process.usage_refusals)
    }

    fn flights(&self) -> Option<&Flights> {
        Some(&self.process.flights)
    }

    fn admission(&self) -> &Admission {
        &self.process.admission
    }

    fn limiters(&self) -> Option<&Limiters> {
        Some(&self.process.limiters)
    }
}

impl platform::Clock for Native {
    type Sleep = Pin<Box<tokio::time::Sleep>>;

    fn now(&self) -> Instant {
        self.process.now()
    }

    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn roll(&self) -> u64 {
        self.process.roll()
    }

    fn sleep(&self, span: Duration) -> Self::Sleep {
        Box::pin(tokio::time::sleep(span))
    }

    fn is_going_away(&self) -> bool {
        self.ending.is_aborted()
    }

    /// On threads that stand back: what is being served goes on.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.process
            .computing
            .run(move || {
                #[cfg(feature = "failpoints")]
                fail::fail_point!("compute");
                work()
            })
            .await
    }
}

impl platform::Store for Native {
    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost> {
        if store_is_lost() {
            return Err(StoreLost);
        }
        match &self.shared {
            None => Ok(self.process.store().open(ask, self.now())),
            Some(shared) => {
                let process = Arc::clone(&self.process);
                let opened = shared.open(ask, move || process.moment()).await?;
                Ok(self.with_standings(ask, opened))
            }
        }
    }

    fn open_locally(&self, ask: Ask<'_>) -> Opened {
        let opened = self.process.local().open(ask, self.now());
        self.with_standings(ask, opened)
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        if let Some(shared) = &self.shared {
            let granted = shared.withdraw_retry(breaker, self.moment()).await;
            return granted
                .unwrap_or_else(|StoreLost| self.process.local().withdraw_retry(breaker, self.now()));
        }
        self.process.counting().withdraw_retry(breaker, self.now())
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        if let Some(shared) = &self.shared {
            let granted = shared.lease_probe(breaker, id, self.moment()).await;
            return granted
                .unwrap_or_else(|StoreLost| self.process.local().lease_probe(breaker, id, self.now()));
        }
        self.process.counting().lease_probe(breaker, id, self.now())
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        let report = Report { id, now: self.now(), roll: self.roll() };
        if let Some(shared) = &self.shared {
            if shared.report_probe(&finding, id, report.roll, self.moment()).await.is_err() {
                self.process.local().report_probe(&finding, report);
            }
            return;
        }
        self.process.counting().report_probe(&finding, report);
    }

    async fn close(&self, closing: Closing) {
        let (now, roll) = (self.now(), self.roll());
        match closing.reservation.held {
            Held::Locally => self.process.local().close(&closing, now, roll),
            // What is held there expires.
            Held::InStore if store_is_lost() => {}
            Held::InStore => match &self.shared {
                None => self.process.store().close(&closing, now, roll),
                Some(shared) => shared.close(&closing, roll, self.moment()).await,
            },
        }
        let record = closing.record;
        self.process.metrics.record(&record);
        books::log(&record);
        self.process.books.write(record);
    }

    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost> {
        match (holding.reservation.held, &self.shared) {
            (Held::Locally, _) => self.process.local().renew_hold(holding, self.now()),
            (Held::InStore, _) if store_is_lost() => return Err(StoreLost),
            (Held::InStore, None) => self.process.store().renew_hold(holding, self.now()),
            (Held::InStore, Some(shared)) => return shared.renew_hold(holding, self.moment()).await,
        }
        Ok(())
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        if store_is_lost() {
            return Err(Unheeded::StoreLost);
        }
        match &self.shared {
            None => {
                let now = self.now();
                let entry = self.process.store().control(order, now)?;
                // It holds for as long as the store is lost, too. Both have the same orders, so as many fit.
                self.process.local().control(order, now)?;
                Ok(entry)
            }
            Some(shared) => {
                let entry = shared.control(order, || self.moment()).await?;
                self.process.local().control(order, self.now())?;
                Ok(entry)
            }
        }
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        if store_is_lost() {
            return Err(StoreLost);
        }
        match &self.shared {
            None => Ok(self.process.store().breakers(names, self.now())),
            Some(shared) => shared.breakers(names, || self.moment()).await,
        }
    }

    fn why_store_is_lost(&self) -> Option<String> {
        self.shared.as_ref()?.why_lost()
    }

    fn readings(&self) -> Option<&Readings> {
        Some(&self.process.readings)
    }

    fn is_one_of_several(&self) -> bool {
        self.shared.is_some()
    }

    async fn renew(&self, lease: Lease, id: u64, piece: Option<&Piece>) -> Result<Renewed, StoreLost> {
        match &self.shared {
            None => Ok(self.process.store().renew(&lease, id, piece, self.now())),
            Some(shared) => shared.renew(&lease, id, piece, self.moment()).await,
        }
    }

    async fn overhear(&self, lease: Lease, id: u64, from: u64) -> Result<Overheard, StoreLost> {
        match &self.shared {
            None => Ok(self.process.store().overhear(&lease, id, from, self.now())),
            Some(shared) => shared.overhear(&lease, id, from, self.moment()).await,
        }
    }

    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost> {
        if store_is_lost() {
            return Err(StoreLost);
        }
        match &self.shared {
            None => Ok(self.process.store().own(ownership, self.now())),
            Some(shared) => shared.own(ownership, self.moment()).await,
        }
    }
}

impl platform::Transport for Native {
    type Upload = Chunks<axum::body::Body>;
    type Download = Chunks<Carried<Outgoing>>;

    async fn send(
        &self,
        upstream: &Upstream,
        request: http::Request<Payload<Self::Upload>>,
        dispatch: &Dispatch,
    ) -> Result<http::Response<Self::Download>, SendFault> {
        let response = self.clients.send(Dialing::of(upstream), request.map(Parcel), dispatch).await?;
        Ok(response.map(Chunks))
    }

    fn relays_websockets(&self) -> bool {
        true
    }

    async fn upgrade(
        &self,
        upstream: &Upstream,
        mut request: http::Request<Payload<Self::Upload>>,
    ) -> Result<Upgraded<Self::Download>, SendFault> {
        let client = hyper::upgrade::on(&mut request);
        let mut answer = self.clients.upgrade(Dialing::of(upstream), request.map(Parcel)).await?;
        if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgraded::Not(answer.map(Carried::from).map(Chunks)));
        }
        let tunnel = tunnel(client, hyper::upgrade::on(&mut answer), self.ending.stop.clone());
        Ok(Upgraded::Switched(answer.map(drop), tunnel))
    }
}

impl platform::Observe for Native {
    async fn counted(&self) -> Result<Exposition, StoreLost> {
        let cached = self.process.store().cached();
        Ok(self.process.metrics.counted(&self.process.books, cached, &self.process.limiters.snapshot()))
    }

    fn observe(&self, event: Event<'_>) {
        self.process.metrics.event(&event);
        let process = &self.process;
        match event {
            Event::Started { upstream } => process.store().start(upstream),
            Event::Over { upstream } => process.store().finish(upstream),
            Event::Answered { upstream, after, failure } => {
                process.store().sample(upstream, after, failure.is_some(), self.now());
            }
            Event::Unconnected { upstream, cause } => {
                if let Some(want) = cause.shortage().filter(|_| process.is_to_be_told(self.now())) {
                    tracing::error!(upstream, want, "calls are refused: the gateway itself is out of {want}");
                }
                process.store().unconnected(upstream, cause, self.now());
            }
            Event::Stale { .. }
            | Event::Unprocessed { .. }
            | Event::Retried { .. }
            | Event::FellBack { .. }
            | Event::Queued { .. }
            | Event::Shed { .. }
            | Event::WebSocketOpened { .. }
            | Event::WebSocketClosed { .. } => {}
            Event::Refused { request_id, caller, refusal } => {
                let (status, code) = (refusal.status().as_u16(), refusal.code().unwrap_or_default());
                tracing::info!(request_id, caller, status, code, "refused");
            }
            Event::Ordered { request_id, who, order } => {
                let (breaker, change) = (&order.breaker, order.change.name());
                let lasting = order.change.lasting().map(|lasting| lasting.as_secs_f64());
                tracing::warn!(request_id, who, breaker, change, lasting, "a breaker was ordered");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only if the answer's future, its body and the settlement may cross threads here. The core asks
    /// for none of it: `tests/portability` has a platform full of `Rc`.
    #[expect(dead_code, reason = "it is compiled, not run")]
    fn everything_is_send(native: &Native, config: Arc<Config>, body: axum::body::Body) {
        fn assert_send<T: Send + 'static>(_: T) {}
        let (answer, settlement) = weir::handle(native, config, http::Request::new(Chunks(body)));
        assert_send(answer);
        assert_send(settlement.run());
        assert_send(None::<weir::Body<Native>>);
    }
}
