//! What goes wrong with a store that is shared, and what is counted of it.

use weir::telemetry::metrics::Family;

use crate::metrics::Metrics;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Asked while there was no connection.
    Unconnected,
    /// No reply in time.
    Timeout,
    /// The connection broke, or what came over it was no RESP.
    Connection,
    /// The reply was not one to the command.
    Garbled,
    /// Redis would not: it is read-only, full, loading, or a key holds what it should not.
    Refused,
    /// Redis does not let this user do what is needed.
    Forbidden,
    /// A value was not what its key says, and was taken for missing.
    Value,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Unconnected => "unconnected",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Garbled => "garbled",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Value => "value",
        }
    }
}

impl Metrics {
    pub(super) fn store_faults(&self, fault: Fault, count: u64) {
        if count > 0 {
            self.count(Family::StoreFaults, &[fault.name()], count);
        }
    }

    pub(super) fn store_connected(&self) {
        self.shift(Family::StoreConnections, &[], 1);
    }

    pub(super) fn store_disconnected(&self) {
        self.shift(Family::StoreConnections, &[], -1);
    }

    pub(super) fn store_waits(&self, by: i64) {
        self.shift(Family::StoreWaiting, &[], by);
    }

    pub(crate) fn store_unsettled(&self) {
        self.count(Family::StoreUnsettled, &[], 1);
    }
}
