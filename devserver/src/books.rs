//! The last records of the ledger, kept for whoever looks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use weir::ledger::record::Record;

/// How many records are kept.
const KEPT: usize = 1024;

/// A bounded ring; the oldest record gives way.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<VecDeque<Record>>);

impl Books {
    pub(crate) fn write(&self, record: Record) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// Records in the ring, by how they ended.
    pub(crate) fn endings(&self) -> BTreeMap<&'static str, u64> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().fold(BTreeMap::new(), |mut counts, record| {
            *counts.entry(record.ending.name()).or_default() += 1;
            counts
        })
    }
}

/// The log line of a record.
pub(crate) fn log(record: &Record) {
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        request_id = record.request_id,
        trace_id = record.trace_id,
        tenant = record.caller.tenant(),
        caller = record.caller.name(),
        operation = record.operation,
        model = record.model,
        route = record.route,
        upstream = record.upstream,
        upstream_model = record.upstream_model,
        stream = record.streamed,
        cache = record.cache.map(weir::ledger::cache_status::Status::name),
        status = record.status,
        ending = record.ending.name(),
        input_tokens = record.usage.input.0,
        cached_tokens = record.usage.cached.0,
        output_tokens = record.usage.output.0,
        usage = record.usage.source.name(),
        attempts = record.tried(),
        cause = record.causes(),
        fallbacks = record.fallbacks,
        first_byte_ms = record.first_byte.map(millis),
        took_ms = millis(record.took),
        websocket_sent = record.websocket.map(|session| session.sent),
        websocket_received = record.websocket.map(|session| session.received),
        websocket_code = record.websocket.and_then(|session| session.code),
        "request"
    );
}
