//! The life of a request: bytes in, parse, identify, open, plan, attempt, reply, close.

mod access;
mod accounting;
mod admission;
mod answer;
pub(crate) mod answer_stream;
mod arrival;
mod attempt;
mod cache;
mod call;
mod charge;
pub(crate) mod explanation;
mod failover;
mod heavy;
mod models;
mod open;
mod ownership;
pub(crate) mod read;
pub(crate) mod reply;
mod request_body;
mod route;
pub(crate) mod settlement;
mod share;
pub(crate) mod websocket;

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::cache::Status;
use crate::config::Config;
use crate::dialect::endpoint;
use crate::dialect::endpoint::{Address, Endpoint};
use crate::identity::cors::Grant;
use crate::identity::{client_address, cross_site, identify};
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::Usage;
use crate::limits::account::Left;
use crate::limits::admission::Place;
use crate::limits::concurrency::{Priority, Slot};
use crate::limits::rate::Allowance;
use crate::operator::{self, admin, health};
use crate::pipeline::accounting::Trail;
use crate::pipeline::explanation::Explanation;
use crate::pipeline::reply::body::Body;
use crate::pipeline::settlement::{Docket, Settlement, docket};
use crate::platform::{Event, Platform, Reservation, StoreLost};
use crate::refusal::Refusal;
use crate::telemetry::metrics;
use crate::telemetry::trace::{Rolls, Trace, request_id};
use crate::time::{Instant, go_duration};
use crate::wire::headers;

/// Where numbers are read. A shell that counts requests leaves these out: a look at the numbers is none of them.
pub const METRICS: &str = "/metrics";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const EXPLAIN: HeaderName = HeaderName::from_static("x-weir-explain");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const DEGRADED: HeaderName = HeaderName::from_static("x-weir-degraded");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUESTS_LEFT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS_LEFT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Headers that every answer may wear; room for them is made once.
const MOST_WORN: usize = 12;

/// Answers one request by one configuration.
///
/// Gives the answer's future and the settlement. Both may be dropped at any point: dropping the first is how a
/// client leaves, and the second then closes the books. The shell runs the settlement on its own
/// (`tokio::spawn`, `waitUntil`, the tail of a handler).
pub fn handle<P: Platform>(
    platform: &P,
    config: Arc<Config>,
    request: Request<P::Upload>,
) -> (impl Future<Output = Response<Body<P>>> + use<P>, Settlement<P>) {
    let (docket, settlement) = docket(platform);
    (respond(platform.clone(), config, request, docket), settlement)
}

/// What belongs to one request from its first byte to its last.
struct Journey<'a, P: Platform> {
    platform: &'a P,
    config: &'a Arc<Config>,
    started: Instant,
    request_id: String,
    trace: Trace,
    explanation: Option<Explanation>,
    caller: String,
    /// Where the client is, where no key says who it is.
    address: Option<IpAddr>,
    /// From here on there is a record, and what becomes of the request stands in it.
    is_admitted: bool,
    /// What is left of its limits.
    left: Left,
    priority: Priority,
    /// Its place among the calls of the process.
    slot: Option<Slot>,
    /// Its place among the calls of its caller.
    place: Option<Place>,
    /// Until it is admitted.
    docket: Docket<P>,
    /// What the cache had to do with it.
    cache: Option<Status>,
    degraded: Option<Degraded>,
    /// What a browser is told.
    cors: Option<Grant>,
}

/// What an answer had to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Degraded {
    /// The store is lost; limits are counted by each process for itself, or not at all.
    Store,
    /// No upstream answered; this is what one of them answered once.
    Stale,
}

async fn respond<P: Platform>(
    platform: P,
    config: Arc<Config>,
    request: Request<P::Upload>,
    docket: Docket<P>,
) -> Response<Body<P>> {
    let started = platform.now();
    let (head, upload) = request.into_parts();
    let asks_explanation = head.headers.get(EXPLAIN).is_some_and(|value| value == "1");
    let wants_explanation =
        asks_explanation && (config.public.explain || identify::is_operators(&config, &head));
    let mut journey = Journey {
        platform: &platform,
        config: &config,
        started,
        request_id: request_id(Rolls(platform.roll(), platform.roll())),
        trace: Trace::continued(&head.headers, Rolls(platform.roll(), platform.roll()), platform.roll()),
        explanation: wants_explanation.then(Explanation::default),
        caller: String::new(),
        address: None,
        is_admitted: false,
        left: Left::default(),
        priority: Priority::default(),
        slot: None,
        place: None,
        docket,
        cache: None,
        degraded: None,
        cors: config
            .server
            .cors
            .as_ref()
            .filter(|_| !admin::is_asked(&config, &head))
            .map(|cors| cors.grant(&head)),
    };
    let answer = {
        let mut serving = pin!(journey.serve(&head, upload));
        poll_fn(|cx| {
            let is_cut_off = platform.is_going_away();
            if is_cut_off { Poll::Ready(Err(Refusal::GoingAway)) } else { serving.as_mut().poll(cx) }
        })
        .await
    };
    let answer = journey.charge_refused(answer, &head).await;
    let response = journey.dress(answer);
    if head.method == Method::HEAD { headless(response) } else { response }
}

/// An answer to HEAD says how long it would be to GET, and has no body (RFC 9110, 9.3.2).
fn headless<P: Platform>(response: Response<Body<P>>) -> Response<Body<P>> {
    let (mut head, body) = response.into_parts();
    let body = match body.into_length() {
        Ok(0) => Body::whole(Bytes::new()),
        Ok(length) => {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
            Body::whole(Bytes::new())
        }
        Err(flowing) => flowing,
    };
    Response::from_parts(head, body)
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

impl<P: Platform> Journey<'_, P> {
    async fn serve(&mut self, head: &Parts, upload: P::Upload) -> Result<Response<Body<P>>, Refusal> {
        let path = || head.uri.path().to_owned();
        let method = || head.method.clone();
        let is_looked_at = matches!(head.uri.path(), "/health" | "/ready" | METRICS);
        if let Some(problem) = headers::ambiguity(head).filter(|_| !is_looked_at) {
            return Err(Refusal::Ambiguous { problem });
        }
        cross_site::check(self.config, head)?;
        if self.cors.as_ref().is_some_and(Grant::answers_preflight) {
            let mut answer = Response::new(Body::whole(Bytes::new()));
            *answer.status_mut() = StatusCode::NO_CONTENT;
            return Ok(answer);
        }
        match head.uri.path() {
            "/health" | "/ready" | METRICS if !is_read(&head.method) => {
                return Err(Refusal::WrongMethod { method: method(), path: path(), allow: "GET, HEAD" });
            }
            "/health" => return Ok(json(StatusCode::OK, Bytes::from_static(health::HEALTH))),
            "/ready" => {
                let (status, body) = if self.config.public.ready || identify::is_operators(self.config, head)
                {
                    health::detailed(self.platform, self.config).await
                } else {
                    health::brief(self.config)
                };
                return Ok(json(status, body));
            }
            METRICS => return self.metrics(head).await,
            _ => {}
        }
        if admin::is_asked(self.config, head) {
            let body = admin::serve(self.platform, self.config, &self.request_id, head, upload).await?;
            return Ok(json(StatusCode::OK, body));
        }
        let address = Address::parse(&head.method, head.uri.path(), &self.config.passthrough.paths);
        if address.endpoint == Endpoint::Unknown {
            if endpoint::is_deceptive(head.uri.path()) {
                return Err(Refusal::Ambiguous { problem: "its path can be read as another" });
            }
            return Err(Refusal::UnknownPath { method: method(), path: path() });
        }
        let caller = identify::identify(self.config, head)?;
        self.caller.clone_from(&caller.name);
        self.address = client_address::of(self.config, head)?;
        match &address.endpoint {
            Endpoint::Call(operation) => {
                self.arrive(&caller, head)?;
                self.call(*operation, &address, head, caller, upload).await
            }
            Endpoint::Passthrough(kind) => {
                self.arrive(&caller, head)?;
                self.pass_through(*kind, &address, head, caller, upload).await
            }
            Endpoint::Models => Ok(json(StatusCode::OK, models::all(self.config, &caller))),
            Endpoint::Model(id) => Ok(json(StatusCode::OK, models::one(self.config, &caller, id)?)),
            Endpoint::WrongMethod { allow } => {
                Err(Refusal::WrongMethod { method: method(), path: path(), allow })
            }
            Endpoint::Unknown => Err(Refusal::UnknownPath { method: method(), path: path() }),
        }
    }

    async fn metrics(&self, head: &Parts) -> Result<Response<Body<P>>, Refusal> {
        if !self.config.public.metrics && !identify::is_operators(self.config, head) {
            return Err(Refusal::ForOperators);
        }
        let text = operator::metrics::answer(self.platform, self.config)
            .await
            .map_err(|StoreLost| Refusal::StoreLost)?;
        let mut answer = Response::new(Body::whole(text.into()));
        let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(answer)
    }

    /// A record of the request as far as it is known.
    fn record(&self, operation: &'static str, caller: Arc<crate::identity::caller::Caller>) -> Record {
        Record {
            request_id: self.request_id.clone(),
            trace_id: self.trace.id.clone(),
            at: self.platform.wall(),
            caller,
            operation,
            model: String::new(),
            route: String::new(),
            upstream: String::new(),
            upstream_model: String::new(),
            response_model: String::new(),
            streamed: false,
            cache: None,
            status: 0,
            ending: Ending::ClientGone,
            usage: Usage::NOTHING,
            attempts: Vec::new(),
            fallbacks: 0,
            took: std::time::Duration::ZERO,
            first_byte: None,
            websocket: None,
        }
    }

    /// From here on the request is settled, whatever happens to it.
    fn admit(&mut self, record: Record, reservation: Reservation) -> Trail<P> {
        self.is_admitted = true;
        let mut trail = self.docket.admit(self.platform, record, reservation, self.started);
        (trail.slot, trail.place) = (self.slot.take(), self.place.take());
        trail
    }

    /// Puts on what every answer wears.
    fn dress(self, answer: Result<Response<Body<P>>, Refusal>) -> Response<Body<P>> {
        let mut response = answer.unwrap_or_else(|refusal| {
            if !self.is_admitted {
                let (request_id, caller) = (&self.request_id, &self.caller);
                self.platform.observe(Event::Refused { request_id, caller, refusal: &refusal });
            }
            refused(&refusal)
        });
        let headers = response.headers_mut();
        headers.reserve(MOST_WORN);
        if let Ok(id) = HeaderValue::try_from(self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        let millis = self.platform.now().since(self.started).as_millis();
        headers.insert(PROCESSING_MS, u64::try_from(millis).unwrap_or(u64::MAX).into());
        headers.insert(TRACEPARENT, self.trace.to_header());
        tell_limits(&self.left, headers);
        if let Some(status) = self.cache {
            headers.insert(CACHE, HeaderValue::from_static(status.name()));
        }
        if let Some(degraded) = self.degraded {
            headers.insert(DEGRADED, HeaderValue::from_static(degraded.name()));
        }
        if let Some(explanation) = self.explanation.and_then(|explanation| explanation.to_header()) {
            headers.insert(EXPLAIN, explanation);
        }
        if let Some(grant) = self.cors {
            grant.tell(headers);
        }
        response
    }
}

impl Degraded {
    const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Stale => "stale",
        }
    }
}

/// Limits in the form that clients read.
fn tell_limits(left: &Left, headers: &mut HeaderMap) {
    for (names, allowance) in [(REQUESTS_LEFT, left.requests), (TOKENS_LEFT, left.tokens)] {
        let Some(Allowance { limit, remaining, reset }) = allowance else { continue };
        let reset = HeaderValue::try_from(go_duration(reset)).unwrap_or(HeaderValue::from_static("0ms"));
        for (name, value) in names.into_iter().zip([limit.into(), remaining.into(), reset]) {
            headers.insert(name, value);
        }
    }
}

fn json<P: Platform>(status: StatusCode, body: Bytes) -> Response<Body<P>> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refused<P: Platform>(refusal: &Refusal) -> Response<Body<P>> {
    let mut response = Response::new(Body::whole(refusal.to_body()));
    *response.status_mut() = refusal.status();
    *response.headers_mut() = refusal.headers();
    response
}
