//! What the operator is told: one line of JSON each, on standard error.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use weir::ledger::record::Record;
use weir::telemetry::event::Event;

#[derive(Serialize)]
struct Line<T> {
    level: &'static str,
    message: &'static str,
    #[serde(flatten)]
    about: T,
}

#[derive(Serialize)]
struct Why<'a> {
    why: &'a str,
}

#[derive(Serialize)]
struct Unsettled<'a> {
    request_id: &'a str,
}

#[derive(Serialize)]
struct Refused<'a> {
    request_id: &'a str,
    caller: &'a str,
    status: u16,
    code: &'a str,
}

#[derive(Serialize)]
struct Ordered<'a> {
    request_id: &'a str,
    who: &'a str,
    breaker: &'a str,
    change: &'a str,
    lasting: Option<f64>,
}

#[derive(Serialize)]
struct Entry<'a> {
    request_id: &'a str,
    trace_id: &'a str,
    tenant: &'a str,
    caller: &'a str,
    operation: &'a str,
    model: &'a str,
    route: &'a str,
    upstream: &'a str,
    upstream_model: &'a str,
    stream: bool,
    cache: Option<&'a str>,
    status: u16,
    ending: &'a str,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    usage: &'a str,
    attempts: String,
    cause: Option<String>,
    fallbacks: u32,
    first_byte_ms: Option<u64>,
    took_ms: u64,
}

/// No request can be served.
pub(crate) fn unconfigured(why: &dyn Display) {
    say(&Line { level: "error", message: "no usable configuration", about: Why { why: &why.to_string() } });
}

/// Something that should be known about a configuration that holds.
pub(crate) fn warning(what: &dyn Display) {
    say(&Line { level: "warn", message: "configuration", about: Why { why: &what.to_string() } });
}

pub(crate) fn store_lost(why: &str) {
    say(&Line { level: "error", message: "the store is lost", about: Why { why } });
}

/// What it held ends by itself.
pub(crate) fn unsettled(request_id: &str) {
    let about = Unsettled { request_id };
    say(&Line { level: "error", message: "the store was not told the end of a call", about });
}

pub(crate) fn event(event: &Event<'_>) {
    match event {
        Event::Started { .. }
        | Event::Answered { .. }
        | Event::Over { .. }
        | Event::Stale { .. }
        | Event::Unprocessed { .. }
        | Event::Unconnected { .. }
        | Event::Retried { .. }
        | Event::FellBack { .. }
        | Event::Queued { .. }
        | Event::Shed { .. }
        | Event::WebSocketOpened { .. }
        | Event::WebSocketClosed { .. } => {}
        Event::Refused { request_id, caller, refusal } => {
            let (status, code) = (refusal.status().as_u16(), refusal.code().unwrap_or_default());
            say(&Line {
                level: "info",
                message: "refused",
                about: Refused { request_id, caller, status, code },
            });
        }
        Event::Ordered { request_id, who, order } => {
            let (breaker, change) = (order.breaker.as_str(), order.change.name());
            let lasting = order.change.lasting().map(|lasting| lasting.as_secs_f64());
            let about = Ordered { request_id, who, breaker, change, lasting };
            say(&Line { level: "warn", message: "a breaker was ordered", about });
        }
    }
}

pub(crate) fn record(record: &Record) {
    let about = Entry {
        request_id: &record.request_id,
        trace_id: &record.trace_id,
        tenant: record.caller.tenant(),
        caller: record.caller.name(),
        operation: record.operation,
        model: &record.model,
        route: &record.route,
        upstream: &record.upstream,
        upstream_model: &record.upstream_model,
        stream: record.streamed,
        cache: record.cache.map(weir::ledger::cache_status::Status::name),
        status: record.status,
        ending: record.ending.name(),
        input_tokens: record.usage.input.0,
        cached_tokens: record.usage.cached.0,
        output_tokens: record.usage.output.0,
        usage: record.usage.source.name(),
        attempts: record.tried(),
        cause: record.causes(),
        fallbacks: record.fallbacks,
        first_byte_ms: record.first_byte.map(millis),
        took_ms: millis(record.took),
    };
    say(&Line { level: "info", message: "request", about });
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A line that cannot be written is lost, and the request goes on.
fn say(line: &impl Serialize) {
    let Ok(mut text) = serde_json::to_vec(line) else { return };
    text.push(b'\n');
    let _ = std::io::stderr().write_all(&text);
}
