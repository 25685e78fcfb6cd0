//! The isolate as the core's platform.

use std::cell::RefMut;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use http::request::Parts;
use wasm_bindgen::JsValue;
use weir::Config;
use weir::cache::in_flight::Flights;
use weir::identity::access::Peer;
use weir::limits::admission::Admission;
use weir::limits::concurrency::Limiters;
use weir::platform::{self, Clock as _};
use weir::routing::breaker::Report;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::routing::upstream::Upstream;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};
use weir::routing::usage_refusals::UsageRefusals;
use weir::store::durable::{self, Asked, Object};
use weir::store::embedded::Store;
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{
    Ask, Closing, Finding, Held, Holding, Keeping, Opened, Ownership, StoreLost, Unheeded,
};
use weir::store::readings::Readings;
use weir::telemetry::event::Event;
use weir::telemetry::metrics::{self, Exposition};
use weir::time::{Instant, UnixMillis};
use weir::wire::upload::Payload;
use worker::{Context, Env};

use crate::cache::Cache;
use crate::fetch::{self, Download};
use crate::incoming::Incoming;
use crate::isolate::Isolate;
use crate::objects::Objects;
use crate::sleep::Sleep;
use crate::usage::Usages;
use crate::{log, opening, task};

/// One request's handle to its isolate, and to what lies outside of it.
#[derive(Clone)]
pub(crate) struct Edge(Rc<Visit>);

struct Visit {
    isolate: Rc<Isolate>,
    objects: Objects,
    cache: Cache,
    usages: Usages,
    config: Arc<Config>,
    context: Context,
}

/// Between two attempts to tell an object that a call is over: a request may go on for half a minute behind its answer.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(6)];

/// Says who calls: the platform puts the address there, and lets no client do so.
pub(crate) fn introduce(head: &mut Parts) {
    let address = head.headers.get("cf-connecting-ip").and_then(|value| value.to_str().ok());
    if let Some(address) = address.and_then(|address| address.parse::<IpAddr>().ok()) {
        head.extensions.insert(Peer(address.to_canonical()));
    }
}

impl Edge {
    pub(crate) fn new(isolate: Rc<Isolate>, config: Arc<Config>, env: &Env, context: Context) -> Self {
        let objects = Objects::new(env, &config);
        let (cache, usages) = (Cache::new(&isolate, env, &objects.clock, objects.patience), Usages::new(env));
        Self(Rc::new(Visit { isolate, objects, cache, usages, config, context }))
    }

    pub(crate) fn isolate(&self) -> &Isolate {
        &self.0.isolate
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.0.objects
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Tells objects what no call has to wait for.
    pub(crate) fn tell(&self, asked: &[Asked]) {
        if !asked.is_empty() {
            let told = self.objects().ask(asked);
            self.outlive(async move { drop(told.await) });
        }
    }

    /// Goes on behind the answer and without the client, for as long as the platform allows.
    pub(crate) fn outlive(&self, work: impl Future<Output = ()> + 'static) {
        let promise = task::promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        // A request that is over cannot be prolonged; the work has begun all the same.
        let _ = AsRef::<worker::worker_sys::Context>::as_ref(&self.0.context).wait_until(&promise);
    }

    /// What the isolate keeps by itself.
    fn own(&self) -> RefMut<'_, Store> {
        self.isolate().store.borrow_mut()
    }

    /// Tells objects something; gives those that have not heard it.
    async fn lost_of(&self, asked: &[Asked]) -> Vec<Object> {
        let answers = self.objects().ask(asked).await;
        let is_done = |answer: Result<Vec<u8>, StoreLost>| {
            answer.and_then(|answer| durable::done(&answer, now())).is_ok()
        };
        let told = asked.iter().zip(answers);
        told.filter_map(|(asked, answer)| (!is_done(answer)).then(|| asked.object.clone())).collect()
    }

    /// Asks for something that is granted or not; `None` where the object is lost.
    async fn granted(&self, asked: &Asked) -> Option<bool> {
        let answer = self.objects().ask_one(asked).await.ok()?;
        durable::granted(&answer, now()).ok()
    }
}

/// Milliseconds since 1970. In production the clock stands still between two waits.
pub(crate) fn millis() -> u64 {
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

impl platform::Platform for Edge {
    fn usage_refusals(&self) -> Option<&UsageRefusals> {
        Some(&self.isolate().usage_refusals)
    }

    /// One request of an isolate must not wake another: its I/O would be done in the other's name, and fail.
    fn flights(&self) -> Option<&Flights> {
        None
    }

    fn admission(&self) -> &Admission {
        &self.isolate().admission
    }

    fn limiters(&self) -> Option<&Limiters> {
        None
    }
}

impl platform::Clock for Edge {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        now()
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(millis())
    }

    fn roll(&self) -> u64 {
        self.isolate().roll()
    }

    fn sleep(&self, span: Duration) -> Self::Sleep {
        self.objects().clock.sleep(span)
    }
}

impl platform::Store for Edge {
    async fn open(&self, ask: Ask<'_>) -> Result<Opened, StoreLost> {
        opening::open(self, ask).await
    }

    fn open_locally(&self, ask: Ask<'_>) -> Opened {
        self.own().open(ask, now())
    }

    async fn withdraw_retry(&self, breaker: &str) -> bool {
        let granted = self.granted(&durable::withdraw_retry(breaker, now())).await;
        granted.unwrap_or_else(|| self.own().withdraw_retry(breaker, now()))
    }

    async fn lease_probe(&self, breaker: &str, id: u64) -> bool {
        let granted = self.granted(&durable::lease_probe(breaker, id, now())).await;
        granted.unwrap_or_else(|| self.own().lease_probe(breaker, id, now()))
    }

    async fn report_probe(&self, finding: Finding, id: u64) {
        let answer = self.objects().ask_one(&durable::report_probe(&finding, id, now())).await;
        if answer.and_then(|answer| durable::done(&answer, now())).is_err() {
            let report = Report { id, now: now(), roll: self.roll() };
            self.own().report_probe(&finding, report);
        }
    }

    async fn close(&self, mut closing: Closing) {
        self.isolate().beliefs.borrow_mut().absorb(&mut closing, now());
        self.isolate().record(&closing.record);
        log::record(&closing.record, self.isolate().log_detail.get());
        let Keeping { entry, cache, place, .. } = &closing.keeping;
        if let (Some(entry), Some((key, life))) = (entry, cache) {
            // Before its lease goes back: who waits for it looks for it then.
            self.cache().keep(*place, *key, entry, *life).await;
        }
        if closing.reservation.held == Held::Locally {
            self.own().close(&closing, now(), self.roll());
        }
        let told = async {
            let asked = durable::close(&closing, now());
            self.lost_of(&asked).await
        };
        let (mut lost, ()) = join(told, self.0.usages.send(&closing.record)).await;
        if lost.is_empty() {
            return;
        }
        if closing.reservation.held == Held::InStore {
            // Breakers that nobody can ask are the isolate's own.
            let report = Report { id: closing.reservation.want.id, now: now(), roll: self.roll() };
            closing.findings.iter().for_each(|finding| self.own().report_probe(finding, report));
        }
        for pause in PAUSES {
            self.sleep(pause).await;
            lost = self.lost_of(&durable::close_again(&closing, &lost, now())).await;
            if lost.is_empty() {
                return;
            }
        }
        log::unsettled(&closing.record.request_id);
    }

    async fn renew_hold(&self, holding: &Holding) -> Result<(), StoreLost> {
        if holding.reservation.held == Held::Locally {
            self.own().renew_hold(holding, now());
            return Ok(());
        }
        let lost = self.lost_of(&durable::renew_hold(holding, now())).await;
        if lost.is_empty() { Ok(()) } else { Err(StoreLost) }
    }

    async fn control(&self, order: &Order) -> Result<Entry, Unheeded> {
        let answer = self.objects().ask_one(&durable::control(order, now())).await;
        self.isolate().beliefs.borrow_mut().doubt(&order.breaker, now());
        let answer = answer?;
        Ok(durable::obeyed(order, &answer, now())??)
    }

    async fn breakers(&self, names: &[String]) -> Result<Listing, StoreLost> {
        self.objects().breakers(names, &self.0.config).await
    }

    fn readings(&self) -> Option<&Readings> {
        Some(&self.isolate().readings)
    }

    /// No request can wake another, in this isolate or elsewhere.
    fn is_one_of_several(&self) -> bool {
        true
    }

    /// Nobody elsewhere listens: an answer that is waited for is found in the cache.
    async fn renew(&self, lease: Lease, id: u64, _: Option<&Piece>) -> Result<Renewed, StoreLost> {
        let answer = self.objects().ask_one(&durable::renew(&lease, id, now())).await?;
        durable::renewed(&answer, now())
    }

    async fn overhear(&self, _: Lease, _: u64, _: u64) -> Result<Overheard, StoreLost> {
        Ok(Overheard::Nothing)
    }

    async fn own(&self, ownership: Ownership<'_>) -> Result<bool, StoreLost> {
        let answer = self.objects().ask_one(&durable::own(ownership, now())).await?;
        durable::granted(&answer, now())
    }

    /// As subrequests: 50 a request of the free plan.
    fn counts_questions(&self) -> bool {
        true
    }
}

impl platform::Transport for Edge {
    type Upload = Incoming;
    type Download = Download;

    /// The platform does not say when it has connected, so the upstream's connect timeout has nothing to
    /// bound.
    async fn send(
        &self,
        _: &Upstream,
        request: http::Request<Payload<Self::Upload>>,
        _: &Dispatch,
    ) -> Result<http::Response<Self::Download>, SendFault> {
        fetch::send(request).await
    }
}

impl platform::Observe for Edge {
    /// By this isolate.
    async fn counted(&self) -> Result<Exposition, StoreLost> {
        Ok(self.isolate().metrics.borrow().clone())
    }

    fn observe(&self, event: Event<'_>) {
        metrics::event(&event, &mut *self.isolate().metrics.borrow_mut());
        log::event(&event, self.isolate().log_detail.get());
        let now = self.now();
        match event {
            Event::Started { upstream } => self.own().start(upstream),
            Event::Over { upstream } => self.own().finish(upstream),
            Event::Answered { upstream, after, failure } => {
                self.own().sample(upstream, after, failure.is_some(), now);
            }
            Event::Unconnected { upstream, cause } => self.own().unconnected(upstream, cause, now),
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
