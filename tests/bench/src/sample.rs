//! What one run of the load generator found, as it tells it to the bench.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::cli::Failed;

/// A run of one kind of load against one target.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Calls answered while it was measured.
    pub(crate) done: u64,
    /// Events in their answers.
    pub(crate) events: u64,
    /// Calls answered in all, while warming up too.
    pub(crate) answered: u64,
    /// Calls answered with 503 while it was measured.
    pub(crate) refused: u64,
    /// Time that was measured, in nanoseconds.
    pub(crate) nanos: u64,
    pub(crate) p50_nanos: u64,
    pub(crate) p99_nanos: u64,
    /// Of the 503s.
    pub(crate) refused_p50_nanos: u64,
    pub(crate) refused_p99_nanos: u64,
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        float(self.done) / Duration::from_nanos(self.nanos.max(1)).as_secs_f64()
    }
}

/// Exact enough for what is shown.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with four digits")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Latencies, to three digits.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, Failed> {
        Histogram::new_with_bounds(1, LONGEST, 3).map(Self).map_err(|e| Failed::because("no histogram", e))
    }

    pub(crate) fn note(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Nanoseconds that half, and 99 of 100, do not exceed.
    pub(crate) fn quantiles(&self) -> (u64, u64) {
        (self.0.value_at_quantile(0.5), self.0.value_at_quantile(0.99))
    }
}
