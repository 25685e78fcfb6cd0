//! A client: it asks, reads as slowly as it likes, and judges what it gets.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body as _;
use weir::dialect::endpoint::Form;
use weir::handle;

use crate::answer::judge_answer;
use crate::ledger::trace_id;
use crate::order::{Arrival, WantsUsage};
use crate::paper::Reader;
use crate::plan::Kind;
use crate::replica::Replica;
use crate::scheduler::{Part, Task, Whose, Work};
use crate::setup::secret;
use crate::upload::Upload;
use crate::world::World;

/// What a client has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

/// How its answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// It has not, yet.
    #[default]
    Open,
    Clean,
    Aborted,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The work of a request: the client's, and the settlement's.
pub(crate) fn visit(world: &Rc<World>, replica: &Replica, arrival: Arrival) -> Vec<Task> {
    let number = world.begin(arrival.clone());
    world.turn_to(number);
    world.count(|tally| tally.requests += 1);
    world.judge.note(|| format!("request {number} comes to replica {}: {arrival:?}", replica.number()));
    let (answer, settlement) = handle(replica, world.plan.config.clone(), request(world, number, &arrival));
    let mine = Rc::clone(world);
    let client: Work = Box::pin(async move {
        let guard = Guard { world: Rc::clone(&mine), number, seen: Seen::default() };
        follow(guard, Box::pin(answer), arrival).await;
    });
    let settlement: Work = Box::pin(settlement.run());
    let whose = Whose { request: number, replica: replica.number(), part: Part::Client };
    let leaves_after = world.request(number).arrival.conduct.leaves_after;
    match replica.kind() {
        Kind::Edge => vec![Task { whose, work: client, leaves_after, then: Some(settlement) }],
        Kind::Server => {
            let beside = Whose { part: Part::Settlement, ..whose };
            vec![
                Task { whose, work: client, leaves_after, then: None },
                Task { whose: beside, work: settlement, leaves_after: None, then: None },
            ]
        }
    }
}

fn request(world: &World, number: usize, arrival: &Arrival) -> Request<Upload> {
    let order = &arrival.order;
    let body = Bytes::from(order.body(&world.dice));
    let (length, trace) = (body.len(), format!("00-{}-00000000000000aa-01", trace_id(number)));
    let mut request = Request::new(Upload::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/v1/chat/completions");
    let bearer = format!("Bearer {}", secret(order.name()));
    let repeat = order.repeat.map(|key| format!("key-{key}"));
    let said = [
        ("authorization", Some(bearer)),
        ("traceparent", Some(trace)),
        ("host", Some("gateway.example".to_owned())),
        ("content-type", Some("application/json".to_owned())),
        ("content-length", Some(length.to_string())),
        ("cache-control", order.cache_control.map(str::to_owned)),
        ("idempotency-key", repeat),
    ];
    for (name, value) in said {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            request.headers_mut().insert(name, value);
        }
    }
    request
}

/// What was seen is judged when the client has gone, wherever that was.
struct Guard {
    world: Rc<World>,
    number: usize,
    seen: Seen,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            judge_answer(&self.world, self.number, &self.seen);
        }
    }
}

async fn follow(
    mut guard: Guard,
    answer: impl Future<Output = http::Response<weir::Body<Replica>>>,
    arrival: Arrival,
) {
    let world = Rc::clone(&guard.world);
    let (head, mut body) = answer.await.into_parts();
    guard.seen.status = head.status.as_u16();
    guard.seen.headers = head.headers;
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                world.request_mut(guard.number).received += bytes.len();
                guard.seen.body.extend_from_slice(&bytes);
            }
            Some(Err(weir::Aborted)) => {
                guard.seen.end = End::Aborted;
                break;
            }
            None => {
                guard.seen.end = End::Clean;
                break;
            }
        }
        if !arrival.conduct.pause.is_zero() {
            world.clock.sleep(arrival.conduct.pause).await;
        }
    }
    comes_again(&world, &guard.seen, arrival);
}

/// As the SDKs do it: on a status that may pass, after the time that it is told.
fn comes_again(world: &World, seen: &Seen, arrival: Arrival) {
    let may_help = matches!(seen.status, 408 | 409 | 429 | 500 | 502 | 503 | 504);
    if !may_help || arrival.conduct.retries == 0 || seen.header("x-should-retry") == "false" {
        return;
    }
    let told =
        seen.header("retry-after-ms").parse().map_or(Duration::from_millis(500), Duration::from_millis);
    let mut again = arrival;
    again.at = world.elapsed() + told;
    again.conduct.retries -= 1;
    world.returning.borrow_mut().push(again);
}

/// Who reads a stream, as its order says it.
pub(crate) fn reader(form: Form, usage: WantsUsage) -> Reader {
    match (form, usage) {
        (Form::Events, WantsUsage::No) => Reader::Plain,
        (Form::Events, WantsUsage::Yes) | (Form::Whole, _) => Reader::Curious,
    }
}
