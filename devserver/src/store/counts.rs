//! What is counted of a store that is shared.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A clone counts for the same process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    faults: Family<Labels, Counter>,
    pub(super) connections: Gauge,
    unsettled: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
}

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
            Self::Value => "value",
        }
    }
}

impl Counts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("weir_store_faults", "What went wrong with the shared store", self.faults.clone());
        registry.register(
            "weir_store_connections",
            "Workers that are connected to the shared store",
            self.connections.clone(),
        );
        registry.register(
            "weir_store_unsettled",
            "Calls whose end the shared store was not told",
            self.unsettled.clone(),
        );
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults.get_or_create(&Labels { kind: fault.name() }).inc();
    }

    pub(super) fn faults(&self, fault: Fault, count: u64) {
        if count > 0 {
            self.faults.get_or_create(&Labels { kind: fault.name() }).inc_by(count);
        }
    }

    pub(crate) fn unsettled(&self) {
        self.unsettled.inc();
    }
}
