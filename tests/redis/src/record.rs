//! A record of a call of which only the store's part matters.

use std::sync::Arc;
use std::time::Duration;

use weir::identity::caller::Caller;
use weir::ledger::record::{Ending, Record};
use weir::ledger::usage::Usage;
use weir::limits::Limits;
use weir::time::UnixMillis;

pub fn record() -> Record {
    Record {
        request_id: String::new(),
        trace_id: String::new(),
        at: UnixMillis(0),
        caller: Arc::new(Caller::anyone(Limits::default())),
        operation: "chat",
        model: String::new(),
        route: String::new(),
        upstream: String::new(),
        upstream_model: String::new(),
        response_model: String::new(),
        streamed: false,
        cache: None,
        status: 200,
        ending: Ending::Complete,
        usage: Usage::NOTHING,
        attempts: Vec::new(),
        fallbacks: 0,
        took: Duration::ZERO,
        first_byte: None,
        websocket: None,
    }
}
