//! What kind of request it is: a look at the gateway, an order, a call, or a path that is passed through.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::accounting::task::{Docket, Settlement, docket};
use super::exchange::{EXPLAIN, Journey, json};
use super::reply::body::Body;
use super::{models, read};
use crate::config::Config;
use crate::dialect::endpoint::{self, Address, Endpoint};
use crate::identity::cors::Grant;
use crate::identity::{client_address, cross_site, identify};
use crate::ledger::explanation::Explanation;
use crate::limits::account::Left;
use crate::limits::concurrency::Priority;
use crate::operator::{self, admin, health};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::protocol::StoreLost;
use crate::telemetry::metrics;
use crate::telemetry::trace::{Rolls, Trace, request_id};
use crate::wire::headers;

/// Where numbers are read. A shell that counts requests leaves these out: a look at the numbers is none of them.
pub const METRICS: &str = "/metrics";

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
        asks_explanation && (config.public.explain || identify::is_operators(config.access(), &head));
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
        cross_site::check(self.config.access(), head)?;
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
                let (status, body) =
                    if self.config.public.ready || identify::is_operators(self.config.access(), head) {
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
            let task = admin::task(self.config, head)?;
            let order = match &task {
                admin::Task::List => Bytes::new(),
                admin::Task::Change(_) => {
                    let bounds = admin::bounds(&self.config.server);
                    read::collect(self.platform, &bounds, admin::OPERATORS, &head.headers, upload).await?
                }
            };
            let body = admin::serve(self.platform, self.config, &self.request_id, task, &order).await?;
            return Ok(json(StatusCode::OK, body));
        }
        let address = Address::parse(&head.method, head.uri.path(), &self.config.passthrough.paths);
        if address.endpoint == Endpoint::Unknown {
            if endpoint::is_deceptive(head.uri.path()) {
                return Err(Refusal::Ambiguous { problem: "its path can be read as another" });
            }
            return Err(Refusal::UnknownPath { method: method(), path: path() });
        }
        let caller = identify::identify(self.config.access(), head)?;
        self.caller.clone_from(&caller.name);
        self.address = client_address::of(self.config.access(), head)?;
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
        if !self.config.public.metrics && !identify::is_operators(self.config.access(), head) {
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
}
