//! What there is to count in what happened. Nothing here allocates: it runs several times in each request.

use std::time::Duration;

use http::StatusCode;

use super::{Family, Sink};
use crate::ledger::failure::Condition;
use crate::ledger::record::Record;
use crate::ledger::usage::Source;
use crate::routing::breaker::control;
use crate::telemetry::event::Event;

/// Something happened.
pub fn event(event: &Event<'_>, sink: &mut impl Sink) {
    match *event {
        Event::Started { upstream } => sink.shift(Family::UpstreamInFlight, &[upstream], 1),
        Event::Over { upstream } => sink.shift(Family::UpstreamInFlight, &[upstream], -1),
        Event::WebSocketOpened { upstream } => sink.shift(Family::WebSocketsOpen, &[upstream], 1),
        Event::WebSocketClosed { upstream } => sink.shift(Family::WebSocketsOpen, &[upstream], -1),
        Event::Answered { upstream, after, failure } => {
            let outcome = failure.map_or("answered", Condition::name);
            sink.count(Family::Attempts, &[upstream, outcome], 1);
            if failure.is_none() {
                sink.observe(Family::FirstToken, &[upstream], micros(after));
            }
        }
        Event::Stale { upstream } => sink.count(Family::StaleConnections, &[upstream], 1),
        // `Answered` counts the attempt, where there was one.
        Event::Unconnected { upstream, cause } => {
            if let Some(want) = cause.shortage() {
                sink.count(Family::Unsent, &[upstream, want], 1);
            }
        }
        Event::Unprocessed { upstream } => sink.count(Family::Unprocessed, &[upstream], 1),
        Event::Retried { upstream } => sink.count(Family::Retries, &[upstream], 1),
        Event::FellBack { route, upstream } => sink.count(Family::Fallbacks, &[route, upstream], 1),
        Event::Queued { limiter, waited } => sink.observe(Family::QueueWait, &[limiter], micros(waited)),
        Event::Shed { limiter, why } => sink.count(Family::Shed, &[limiter, why.name()], 1),
        Event::Refused { refusal, .. } => {
            let (status, code) = (refusal.status(), refusal.code().unwrap_or("none"));
            sink.count(Family::Refusals, &[status.as_str(), code], 1);
        }
        Event::Ordered { order, .. } => {
            sink.count(Family::Orders, &[control::upstream_of(&order.breaker), order.change.name()], 1);
        }
    }
}

/// A request is over.
pub fn record(record: &Record, sink: &mut impl Sink) {
    let (route, upstream) = (record.route.as_str(), record.upstream.as_str());
    // Below 100 there is none.
    let status = StatusCode::from_u16(record.status).ok();
    let status = status.as_ref().map_or("0", StatusCode::as_str);
    sink.count(Family::Requests, &[route, upstream, status], 1);
    sink.count(Family::Usage, &[record.usage.source.name()], 1);
    sink.count(Family::Endings, &[record.ending.name()], 1);
    sink.observe(Family::RequestDuration, &[route], micros(record.took));
    if let Some(first_byte) = record.first_byte {
        sink.observe(Family::FirstByte, &[route], micros(first_byte));
    }
    if record.streamed {
        sink.count(Family::StreamsEnded, &[route, record.ending.name()], 1);
    }
    if let Some(session) = record.websocket {
        sink.count(Family::WebSocketsEnded, &[route, record.ending.name()], 1);
        sink.count(Family::WebSocketBytes, &[upstream, "sent"], session.sent);
        sink.count(Family::WebSocketBytes, &[upstream, "received"], session.received);
    }
    if let Some(status) = record.cache {
        sink.count(Family::Cache, &[route, status.name()], 1);
    }
    // What no provider did is none of its operations.
    if upstream.is_empty() {
        return;
    }
    let call = [record.operation, upstream, route];
    sink.observe(Family::OperationDuration, &call, micros(record.took));
    tokens(record, call, sink);
}

fn tokens(record: &Record, call: [&str; 3], sink: &mut impl Sink) {
    if record.usage.source == Source::Nothing {
        return;
    }
    let [operation, upstream, route] = call;
    for (kind, tokens) in [("input", record.usage.input), ("output", record.usage.output)] {
        sink.observe(Family::TokenUsage, &[operation, upstream, route, kind], tokens.0);
    }
    let behind_first = record.usage.output.0.saturating_sub(1);
    if let Some(first_byte) = record.first_byte.filter(|_| record.streamed && behind_first > 0) {
        let all = micros(record.took.saturating_sub(first_byte));
        sink.observe(Family::PerOutputToken, &call, all.div_ceil(behind_first));
    }
}

/// Rounded up, so that nothing falls into a bucket that it is beyond.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}
