//! One request and its answer, from the first byte to the last: what is known of it, and what every answer wears.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::accounting::Trail;
use super::accounting::task::Docket;
use super::reply::body::Body;
use crate::config::Config;
use crate::identity::cors::Grant;
use crate::ledger::cache_status::Status;
use crate::ledger::explanation::Explanation;
use crate::ledger::payer::Payer;
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::Usage;
use crate::limits::account::Left;
use crate::limits::admission::Place;
use crate::limits::concurrency::{Priority, Slot};
use crate::limits::rate::Allowance;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::protocol::Reservation;
use crate::telemetry::event::Event;
use crate::telemetry::trace::{TRACEPARENT, Trace};
use crate::time::{Instant, go_duration};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
pub(super) const EXPLAIN: HeaderName = HeaderName::from_static("x-weir-explain");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const DEGRADED: HeaderName = HeaderName::from_static("x-weir-degraded");
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

/// What belongs to one request from its first byte to its last.
pub(super) struct Journey<'a, P: Platform> {
    pub(super) platform: &'a P,
    pub(super) config: &'a Arc<Config>,
    pub(super) started: Instant,
    pub(super) request_id: String,
    pub(super) trace: Trace,
    pub(super) explanation: Option<Explanation>,
    pub(super) caller: String,
    /// Where the client is, where no key says who it is.
    pub(super) address: Option<IpAddr>,
    /// From here on there is a record, and what becomes of the request stands in it.
    pub(super) is_admitted: bool,
    /// What is left of its limits.
    pub(super) left: Left,
    pub(super) priority: Priority,
    /// Its place among the calls of the process.
    pub(super) slot: Option<Slot>,
    /// Its place among the calls of its caller.
    pub(super) place: Option<Place>,
    /// Until it is admitted.
    pub(super) docket: Docket<P>,
    /// What the cache had to do with it.
    pub(super) cache: Option<Status>,
    pub(super) degraded: Option<Degraded>,
    /// What a browser is told.
    pub(super) cors: Option<Grant>,
}

/// What an answer had to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Degraded {
    /// The store is lost; limits are counted by each process for itself, or not at all.
    Store,
    /// No upstream answered; this is what one of them answered once.
    Stale,
}

impl<P: Platform> Journey<'_, P> {
    /// A record of the request as far as it is known.
    pub(super) fn record(&self, operation: &'static str, caller: Arc<dyn Payer>) -> Record {
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
    pub(super) fn admit(&mut self, record: Record, reservation: Reservation) -> Trail<P> {
        self.is_admitted = true;
        let mut trail = Trail::begin(&mut self.docket, self.platform, record, reservation, self.started);
        (trail.slot, trail.place) = (self.slot.take(), self.place.take());
        trail
    }

    /// Puts on what every answer wears.
    pub(super) fn dress(self, answer: Result<Response<Body<P>>, Refusal>) -> Response<Body<P>> {
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

pub(super) fn json<P: Platform>(status: StatusCode, body: Bytes) -> Response<Body<P>> {
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
