//! What the process has counted, for whoever looks at `/metrics`. What there is to count, and under which names, is the
//! core's: [`weir::telemetry::metrics`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir::ledger::record::Record;
use weir::limits::concurrency::Load;
use weir::telemetry::event::Event;
use weir::telemetry::metrics::{self, Exposition, Family, Sink as _};

use crate::books::Books;
use crate::logs;

/// Threads that count at the same time: each has a sheet of its own unless there are more of them.
const SHEETS: usize = 16;

/// A clone counts for the same process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Arc<[Mutex<Exposition>; SHEETS]>);

impl Metrics {
    pub(crate) fn event(&self, event: &Event<'_>) {
        metrics::event(event, &mut *self.sheet());
    }

    pub(crate) fn record(&self, record: &Record) {
        metrics::record(record, &mut *self.sheet());
    }

    pub(crate) fn count(&self, family: Family, labels: &[&str], by: u64) {
        self.sheet().count(family, labels, by);
    }

    pub(crate) fn shift(&self, family: Family, labels: &[&str], by: i64) {
        self.sheet().shift(family, labels, by);
    }

    pub(crate) fn sample(&self, family: Family, labels: &[&str], value: u64) {
        self.sheet().observe(family, labels, value);
    }

    /// All that was counted until now, and what the process measures of itself: bytes of answers that are kept, calls that
    /// are under way.
    pub(crate) fn counted(&self, books: &Books, cached: u64, loads: &[Load]) -> Exposition {
        let mut sum = Exposition::default();
        for sheet in self.0.iter() {
            sum.add(&lock(sheet));
        }
        // They are there before there is anything to count.
        for alone in [Family::InFlight, Family::StoreConnections, Family::StoreWaiting] {
            sum.shift(alone, &[], 0);
        }
        sum.count(Family::StoreUnsettled, &[], 0);
        sum.count(Family::LogLinesDropped, &[], logs::dropped());
        sum.shift(Family::CacheKept, &[], signed(cached));
        for (ending, count) in books.endings() {
            sum.shift(Family::LedgerRecent, &[ending], signed(count));
        }
        for load in loads {
            let limiter = [load.name.as_str()];
            sum.shift(Family::ConcurrencyLimit, &limiter, load.limit.into());
            sum.shift(Family::Concurrency, &limiter, load.in_flight.into());
            sum.shift(Family::Queued, &limiter, load.queued.into());
        }
        sum
    }

    fn sheet(&self) -> MutexGuard<'_, Exposition> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHEETS;
        }
        lock(&self.0[PLACE.with(|place| *place)])
    }
}

fn lock(sheet: &Mutex<Exposition>) -> MutexGuard<'_, Exposition> {
    sheet.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use weir::routing::breaker::control::{Change, Order};

    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.counted(&Books::default(), 7, &[]).to_string()
    }

    #[test]
    fn what_many_threads_count_is_printed_as_one() {
        let metrics = Metrics::default();
        thread::scope(|scope| {
            for _ in 0..2 * SHEETS {
                scope.spawn(|| {
                    metrics.event(&Event::Retried { upstream: "a" });
                    // One thread may end what another has begun.
                    metrics.shift(Family::UpstreamInFlight, &["a"], 1);
                });
            }
        });
        metrics.shift(Family::UpstreamInFlight, &["a"], -30);
        let text = text(&metrics);
        for line in ["weir_retries_total{upstream=\"a\"} 32\n", "weir_upstream_in_flight{upstream=\"a\"} 2\n"]
        {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn what_alerts_look_at_is_there_from_the_beginning() {
        let text = text(&Metrics::default());
        for line in [
            "weir_in_flight 0\n",
            "weir_store_unsettled_total 0\n",
            "weir_log_lines_dropped_total 0\n",
            "weir_cache_kept_bytes 7\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn orders_are_counted_by_upstream_and_not_by_model() {
        let metrics = Metrics::default();
        for model in ["made", "up"] {
            let order = Order { breaker: format!("a/{model}"), change: Change::Release };
            metrics.event(&Event::Ordered { request_id: "r", who: "admin", order: &order });
        }
        let text = text(&metrics);
        assert!(text.contains("weir_orders_total{upstream=\"a\",state=\"auto\"} 2\n"), "{text}");
    }
}
