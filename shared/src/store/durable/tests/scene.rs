//! What the tests speak of.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Entry;
use crate::cache::fingerprint::{Fingerprint, Framed};
use crate::dialect::endpoint::{Form, Operation};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{HELD, Scope, Want};
use crate::limits::rate::Rate;
use crate::store::protocol::{Held, Reservation};
use crate::time::Instant;

pub(super) fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

pub(super) fn key(name: u64) -> Fingerprint {
    Framed::new("test").field("name", &name.to_be_bytes()).finish()
}

pub(super) fn entry(size: usize) -> Arc<Entry> {
    Arc::new(Entry {
        operation: Operation::Chat,
        form: Form::Whole,
        content_type: "application/json".into(),
        model: "m".into(),
        body: vec![b'x'; size].into(),
    })
}

/// So many requests an hour and as many at the same time, with ten tokens each.
pub(super) fn limits(requests: u64) -> Limits {
    let rate = |count| vec![Rate { count, per: Duration::from_hours(1) }];
    Limits {
        requests: rate(requests),
        tokens: rate(10 * requests),
        concurrent: Some(requests),
        ..Limits::default()
    }
}

pub(super) fn caller(tenant: &str) -> (Scope, Limits) {
    (Scope::Caller { tenant: tenant.into(), name: "c".into() }, limits(9))
}

/// Ten tokens.
pub(super) fn reservation(id: u64, scopes: Vec<(Scope, Limits)>) -> Reservation {
    let want = Want { id, tokens: Tokens(10), lasts: HELD };
    Reservation { want, scopes, held: Held::InStore }
}
