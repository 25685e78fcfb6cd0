//! What is known of one request, gathered while it lives.

use std::collections::{BTreeMap, BTreeSet};

use weir::routing::breaker::Gate;
use weir::time::Instant;

use crate::order::{Arrival, Order};
use crate::setup::TOTAL;

/// One request of one client.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) arrival: Arrival,
    pub(crate) came: Instant,
    /// What the gates were when its books were opened.
    pub(crate) gates: BTreeMap<String, Gate>,
    /// Whose probe it is.
    pub(crate) leases: BTreeSet<String>,
    /// Whose probe it would have been, had it heard so.
    pub(crate) unheard: BTreeSet<String>,
    /// Retries that it was granted.
    pub(crate) granted: u32,
    /// Its calls at upstreams, by number.
    pub(crate) calls: Vec<usize>,
    /// Its reservations, by name.
    pub(crate) reservations: BTreeMap<u64, Reserved>,
    /// Tokens of the last of them.
    pub(crate) tokens: u64,
    /// Times that its books were closed.
    pub(crate) closed: u32,
    /// What became of it, if it was no ordinary end.
    pub(crate) fate: Fate,
    /// Bytes of its answer that its client has.
    pub(crate) received: usize,
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Granted and not yet settled.
    Open,
    Settled,
    /// Nobody has heard of the grant: it expires.
    Unheard,
}

/// What becomes of a request that is nobody's fault in the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ordinary,
    /// Its client left.
    Left,
    /// Its replica died.
    Crashed,
    /// It panicked, as its script wanted it.
    Panicked,
}

impl Request {
    pub(crate) fn new(arrival: Arrival, came: Instant) -> Self {
        Self {
            arrival,
            came,
            gates: BTreeMap::new(),
            leases: BTreeSet::new(),
            unheard: BTreeSet::new(),
            granted: 0,
            calls: Vec::new(),
            reservations: BTreeMap::new(),
            tokens: 0,
            closed: 0,
            fate: Fate::Ordinary,
            received: 0,
        }
    }

    pub(crate) fn order(&self) -> &Order {
        &self.arrival.order
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.came.after(TOTAL)
    }
}
