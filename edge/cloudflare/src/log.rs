//! What the operator is told: one line of JSON each, on the console.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use serde_json::{Value, json};
use weir::ledger::record::Record;
use weir::routing::breaker::Gate;
use weir::routing::breaker::control::Listing;
use weir::store::protocol::StoreLost;
use weir::telemetry::event::Event;

use crate::usage::Sum;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Each call, and each request that is refused.
    #[default]
    Calls,
    /// What an operator should look at.
    Trouble,
}

/// No request can be served.
pub(crate) fn unconfigured(why: &str) {
    web_sys::console::error_1(&line(&json!({ "message": "no usable configuration", "why": why })));
}

/// Something that should be known about a configuration that holds.
pub(crate) fn warning(what: &dyn Display) {
    let why = what.to_string();
    web_sys::console::warn_1(&line(&json!({ "message": "configuration", "why": why })));
}

/// An object found values that were not what their key says.
pub(crate) fn unreadable(count: u64) {
    web_sys::console::warn_1(&line(&json!({ "message": "values that cannot be read", "count": count })));
}

/// An object has no alarm, and writes when it is asked next.
pub(crate) fn unwound(fault: &dyn Display) {
    let why = fault.to_string();
    web_sys::console::warn_1(&line(&json!({ "message": "no alarm is set", "why": why })));
}

/// Not every object has learnt how a call ended: what it holds, it holds until that expires.
pub(crate) fn unsettled(request_id: &str) {
    web_sys::console::warn_1(&line(
        &json!({ "message": "not settled everywhere", "request_id": request_id }),
    ));
}

/// The books of a call are in the log alone.
pub(crate) fn unsent(request_id: &str) {
    web_sys::console::warn_1(&line(&json!({ "message": "usage is not sent", "request_id": request_id })));
}

/// What a tenant has used in the calls of a batch.
pub(crate) fn used(tenant: &str, sum: &Sum) {
    web_sys::console::log_1(&line(&json!({
        "message": "usage",
        "tenant": tenant,
        "requests": sum.requests,
        "input_tokens": sum.input_tokens,
        "output_tokens": sum.output_tokens,
    })));
}

/// Another document holds from now on.
pub(crate) fn configured(version: &str) {
    web_sys::console::log_1(&line(&json!({ "message": "configuration in force", "version": version })));
}

/// The document that was found does not hold; the one before it does.
pub(crate) fn rejected(why: &str) {
    web_sys::console::error_1(&line(&json!({ "message": "configuration rejected", "why": why })));
}

/// How the breakers stand that there is something to say of.
pub(crate) fn breakers(listing: Result<Listing, StoreLost>) {
    let Ok(listing) = listing else {
        return web_sys::console::error_1(&line(&json!({ "message": "the store is lost" })));
    };
    let gates = listing.entries.iter().map(|entry| (entry.breaker.as_str(), gate(entry.gate)));
    let gates: BTreeMap<_, _> = gates.collect();
    web_sys::console::log_1(&line(&json!({ "message": "breakers", "gates": gates })));
}

fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Closed => "closed",
        Gate::Open { .. } => "open",
        Gate::HalfOpen => "half-open",
        Gate::Forced(held) => held.forced.name(),
    }
}

pub(crate) fn event(event: &Event<'_>, detail: Detail) {
    match event {
        Event::Refused { .. } if detail == Detail::Trouble => {}
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
            web_sys::console::log_1(&line(&json!({
                "message": "refused",
                "request_id": request_id,
                "caller": caller,
                "status": refusal.status().as_u16(),
                "code": refusal.code().unwrap_or_default(),
            })));
        }
        Event::Ordered { request_id, who, order } => {
            web_sys::console::warn_1(&line(&json!({
                "message": "a breaker was ordered",
                "request_id": request_id,
                "who": who,
                "breaker": order.breaker,
                "change": order.change.name(),
                "lasting": order.change.lasting().map(|lasting| lasting.as_secs_f64()),
            })));
        }
    }
}

pub(crate) fn record(record: &Record, detail: Detail) {
    if detail == Detail::Trouble {
        return;
    }
    web_sys::console::log_1(&line(&json!({
        "message": "request",
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "tenant": record.caller.tenant(),
        "caller": record.caller.name(),
        "operation": record.operation,
        "model": record.model,
        "route": record.route,
        "upstream": record.upstream,
        "upstream_model": record.upstream_model,
        "stream": record.streamed,
        "cache": record.cache.map(weir::ledger::cache_status::Status::name),
        "status": record.status,
        "ending": record.ending.name(),
        "input_tokens": record.usage.input.0,
        "cached_tokens": record.usage.cached.0,
        "output_tokens": record.usage.output.0,
        "usage": record.usage.source.name(),
        "attempts": record.tried(),
        "cause": record.causes(),
        "fallbacks": record.fallbacks,
        "first_byte_ms": record.first_byte.map(millis),
        "took_ms": millis(record.took),
    })));
}

fn line(value: &Value) -> wasm_bindgen::JsValue {
    value.to_string().into()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
