//! What `/metrics` shows, in the names of OpenTelemetry's GenAI conventions where they have one.
//!
//! Labels are names from the configuration or from short lists, never what a client or an upstream makes up:
//! no caller can make the registry grow, and no prompt can get into it.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use weir::config::Upstream as Configured;
use weir::control::Listing;
use weir::ledger::Record;
use weir::metrics::Sink;
use weir::overload::Load;
use weir::platform::Event;
use weir::usage::Source;

use crate::books::Books;
use crate::store::Counts;

/// Seconds, from a cache's answer to a reasoning model's.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
    320.0,
];

/// Tokens of a call.
const TOKENS: &[f64] =
    &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0];

#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms<L> = Family<L, Histogram, Buckets>;

/// A call, as the GenAI conventions label it.
#[expect(clippy::struct_field_names, reason = "they are the conventions' names")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    /// The route's pattern: clients can make up any number of names that a glob matches.
    gen_ai_request_model: String,
}

#[expect(clippy::struct_field_names, reason = "they are the conventions' names")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallTokens {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: String,
    gen_ai_request_model: String,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Upstream {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    upstream: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fallback {
    route: String,
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: String,
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    upstream: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    status: u16,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ordered {
    /// A glob's models may be made up, the upstream is the configuration's.
    upstream: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cached {
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limiter {
    limiter: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shed {
    limiter: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Usage {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Breaker {
    upstream: String,
    state: String,
}

/// How breakers stand.
#[derive(Default)]
struct Breakers(Family<Breaker, Gauge>);

impl Sink for Breakers {
    fn count(&mut self, _: weir::metrics::Family, _: &[&str], _: u64) {}

    fn shift(&mut self, _: weir::metrics::Family, labels: &[&str], by: i64) {
        if let [upstream, state] = *labels {
            let labels = Breaker { upstream: upstream.to_owned(), state: state.to_owned() };
            self.0.get_or_create(&labels).inc_by(by);
        }
    }

    fn observe(&mut self, _: weir::metrics::Family, _: &[&str], _: u64) {}
}

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests whose books are open.
    pub(crate) in_flight: Gauge,
    requests: Family<Answered, Counter>,
    refusals: Family<Refused, Counter>,
    attempts: Family<Attempt, Counter>,
    upstream_in_flight: Family<Upstream, Gauge>,
    retries: Family<Upstream, Counter>,
    fallbacks: Family<Fallback, Counter>,
    streams: Family<Ended, Counter>,
    usage_sources: Family<Usage, Counter>,
    endings: Family<Ending, Counter>,
    duration: Histograms<Route>,
    first_byte: Histograms<Route>,
    operation_duration: Histograms<Call>,
    token_usage: Histograms<CallTokens>,
    upstream_first_byte: Histograms<Upstream>,
    per_output_token: Histograms<Call>,
    reloads: Family<Outcome, Counter>,
    orders: Family<Ordered, Counter>,
    cache: Family<Cached, Counter>,
    queue_wait: Histograms<Limiter>,
    shed: Family<Shed, Counter>,
    pub(crate) store: Counts,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Buckets(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            in_flight: Gauge::default(),
            requests: Family::default(),
            refusals: Family::default(),
            attempts: Family::default(),
            upstream_in_flight: Family::default(),
            retries: Family::default(),
            fallbacks: Family::default(),
            streams: Family::default(),
            usage_sources: Family::default(),
            endings: Family::default(),
            duration: Family::new_with_constructor(seconds()),
            first_byte: Family::new_with_constructor(seconds()),
            operation_duration: Family::new_with_constructor(seconds()),
            token_usage: Family::new_with_constructor(Buckets(TOKENS)),
            upstream_first_byte: Family::new_with_constructor(seconds()),
            per_output_token: Family::new_with_constructor(seconds()),
            reloads: Family::default(),
            orders: Family::default(),
            cache: Family::default(),
            queue_wait: Family::new_with_constructor(seconds()),
            shed: Family::default(),
            store: Counts::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("weir_in_flight", "Requests being answered", self.in_flight.clone());
        r.register("weir_requests", "Admitted requests, by how they were answered", self.requests.clone());
        r.register("weir_refusals", "Requests that were not admitted", self.refusals.clone());
        r.register("weir_upstream_attempts", "Tries at upstreams", self.attempts.clone());
        r.register("weir_upstream_in_flight", "Calls at upstreams", self.upstream_in_flight.clone());
        r.register("weir_retries", "Calls tried again at the same upstream", self.retries.clone());
        r.register("weir_fallbacks", "Calls taken on to the next candidate", self.fallbacks.clone());
        r.register("weir_streams_ended", "Streamed answers, by how they ended", self.streams.clone());
        r.register("weir_usage", "Admitted requests, by who reported usage", self.usage_sources.clone());
        r.register("weir_endings", "Admitted requests, by how they ended", self.endings.clone());
        r.register("weir_config_reloads", "Configurations read again", self.reloads.clone());
        r.register("weir_orders", "Orders of operators, by what they want of a breaker", self.orders.clone());
        r.register("weir_cache", "Admitted requests of routes with a cache, by x-cache", self.cache.clone());
        r.register("weir_shed", "Calls turned away by a limit on concurrency", self.shed.clone());
        let (s, waits) = (Unit::Seconds, self.queue_wait.clone());
        r.register_with_unit("weir_queue_wait", "How long calls waited for their turn", s, waits);
        let s = Unit::Seconds;
        let duration = self.duration.clone();
        r.register_with_unit("weir_request_duration", "First byte in to last byte out", s, duration);
        let s = Unit::Seconds;
        let first_byte = self.first_byte.clone();
        r.register_with_unit("weir_time_to_first_byte", "First byte in to first byte out", s, first_byte);
        self.store.register(r);
        // The conventions' names carry no unit.
        r.register(
            "gen_ai_client_operation_duration",
            "Duration of a call in seconds",
            self.operation_duration.clone(),
        );
        r.register("gen_ai_client_token_usage", "Tokens of a call", self.token_usage.clone());
        r.register(
            "gen_ai_server_time_to_first_token",
            "Wait for an upstream's first content in seconds",
            self.upstream_first_byte.clone(),
        );
        r.register(
            "gen_ai_server_request_duration",
            "Duration of a call at the gateway in seconds",
            self.operation_duration.clone(),
        );
        r.register(
            "gen_ai_server_time_per_output_token",
            "Seconds for each token of a stream after the first",
            self.per_output_token.clone(),
        );
    }

    pub(crate) fn observe(&self, event: &Event<'_>) {
        let upstream = |name: &str| Upstream { upstream: name.to_owned() };
        match *event {
            Event::Started { upstream: name } => {
                self.upstream_in_flight.get_or_create(&upstream(name)).inc();
            }
            Event::Over { upstream: name } => {
                self.upstream_in_flight.get_or_create(&upstream(name)).dec();
            }
            Event::Answered { upstream: name, after, failure } => {
                let outcome = failure.map_or("answered", weir::config::Condition::name);
                self.attempts.get_or_create(&Attempt { upstream: name.to_owned(), outcome }).inc();
                if failure.is_none() {
                    self.upstream_first_byte.get_or_create(&upstream(name)).observe(after.as_secs_f64());
                }
            }
            Event::Retried { upstream: name } => {
                self.retries.get_or_create(&upstream(name)).inc();
            }
            Event::FellBack { route, upstream } => {
                let labels = Fallback { route: route.to_owned(), upstream: upstream.to_owned() };
                self.fallbacks.get_or_create(&labels).inc();
            }
            Event::Queued { limiter, waited } => {
                let labels = Limiter { limiter: limiter.to_owned() };
                self.queue_wait.get_or_create(&labels).observe(waited.as_secs_f64());
            }
            Event::Shed { limiter, why } => {
                self.shed.get_or_create(&Shed { limiter: limiter.to_owned(), why: why.name() }).inc();
            }
            Event::Refused { refusal, .. } => {
                let code = refusal.code().unwrap_or("none").to_owned();
                let labels = Refused { status: refusal.status().as_u16(), code };
                self.refusals.get_or_create(&labels).inc();
            }
            Event::Ordered { order, .. } => {
                let upstream = order.breaker.split('/').next().unwrap_or_default().to_owned();
                self.orders.get_or_create(&Ordered { upstream, state: order.change.name() }).inc();
            }
        }
    }

    pub(crate) fn record(&self, record: &Record) {
        let route = || Route { route: record.route.clone() };
        let answered = Answered {
            route: record.route.clone(),
            upstream: record.upstream.clone(),
            status: record.status,
        };
        self.requests.get_or_create(&answered).inc();
        self.usage_sources.get_or_create(&Usage { source: record.usage.source.name() }).inc();
        self.endings.get_or_create(&Ending { ending: record.ending.name() }).inc();
        self.duration.get_or_create(&route()).observe(record.took.as_secs_f64());
        if let Some(first_byte) = record.first_byte {
            self.first_byte.get_or_create(&route()).observe(first_byte.as_secs_f64());
        }
        if record.streamed {
            let ended = Ended { route: record.route.clone(), ending: record.ending.name() };
            self.streams.get_or_create(&ended).inc();
        }
        if let Some(status) = record.cache {
            let labels = Cached { route: record.route.clone(), status: status.name() };
            self.cache.get_or_create(&labels).inc();
        }
        // What no provider did is none of its operations.
        if record.upstream.is_empty() {
            return;
        }
        let call = Call {
            gen_ai_operation_name: record.operation,
            gen_ai_provider_name: record.upstream.clone(),
            gen_ai_request_model: record.route.clone(),
        };
        self.operation_duration.get_or_create(&call).observe(record.took.as_secs_f64());
        self.record_tokens(record, &call);
    }

    fn record_tokens(&self, record: &Record, call: &Call) {
        if record.usage.source == Source::Nothing {
            return;
        }
        for (gen_ai_token_type, tokens) in [("input", record.usage.input), ("output", record.usage.output)] {
            let labels = CallTokens {
                gen_ai_operation_name: call.gen_ai_operation_name,
                gen_ai_provider_name: call.gen_ai_provider_name.clone(),
                gen_ai_request_model: call.gen_ai_request_model.clone(),
                gen_ai_token_type,
            };
            self.token_usage.get_or_create(&labels).observe(as_f64(tokens.0));
        }
        let behind_first = record.usage.output.0.saturating_sub(1);
        if let Some(first_byte) = record.first_byte.filter(|_| record.streamed && behind_first > 0) {
            let each: Duration = record.took.saturating_sub(first_byte);
            self.per_output_token.get_or_create(call).observe(each.as_secs_f64() / as_f64(behind_first));
        }
    }

    pub(crate) fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// The whole registry in the text form of OpenMetrics, and how things stand at the moment.
    pub(crate) fn print(&self, books: &Books, now: &Standing<'_>) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 * 1024);
        text::encode_registry(&mut out, &self.registry)?;
        let recent: Family<Outcome, Gauge> = Family::default();
        for (outcome, count) in books.endings() {
            recent.get_or_create(&Outcome { outcome }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut registry = Registry::default();
        registry.register("weir_ledger_recent", "Last records of the ledger, by how they ended", recent);
        let cached: Gauge = Gauge::default();
        cached.set(i64::try_from(now.cached).unwrap_or(i64::MAX));
        registry.register("weir_cache_kept_bytes", "Bytes of answers that are kept", cached);
        let [limits, in_flight, queued]: [Family<Limiter, Gauge>; 3] = Default::default();
        for load in &now.loads {
            let labels = Limiter { limiter: load.name.clone() };
            limits.get_or_create(&labels).set(load.limit.into());
            in_flight.get_or_create(&labels).set(load.in_flight.into());
            queued.get_or_create(&labels).set(load.queued.into());
        }
        registry.register("weir_concurrency_limit", "Calls that may be under way at the same time", limits);
        registry.register("weir_concurrency", "Calls under way, where they are limited", in_flight);
        registry.register("weir_queued", "Calls that wait for their turn", queued);
        if let Some((upstreams, listing)) = &now.breakers {
            let mut breakers = Breakers::default();
            weir::metrics::breakers(upstreams, listing, &mut breakers);
            let family = weir::metrics::Family::Breakers;
            registry.register(family.name(), family.help(), breakers.0);
        }
        text::encode_registry(&mut out, &registry)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

/// How things stand.
pub(crate) struct Standing<'a> {
    /// Bytes of answers that are kept.
    pub(crate) cached: u64,
    pub(crate) loads: Vec<Load>,
    /// `None` while the store that knows is lost.
    pub(crate) breakers: Option<(&'a [Configured], Listing)>,
}

/// Exact up to 2^53, which no call's tokens reach.
fn as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use weir::breaker::Gate;
    use weir::cache::Status;
    use weir::caller::Caller;
    use weir::config::{Condition, Limits};
    use weir::control::{Change, Entry, Order};
    use weir::ledger::Ending;
    use weir::metrics::{self, Exposition, Sink as _};
    use weir::overload::Why;
    use weir::refusal::Refusal;
    use weir::time::UnixMillis;
    use weir::usage::{Tokens, Usage};

    use super::*;
    use crate::document::{self, Machine};

    fn a_record() -> Record {
        Record {
            request_id: "req_0".into(),
            trace_id: "0".into(),
            at: UnixMillis::default(),
            caller: Arc::new(Caller::anyone(Limits::default())),
            operation: "chat",
            model: "gpt-5".into(),
            route: "gpt-\"*".into(),
            upstream: "a".into(),
            upstream_model: "gpt-5".into(),
            response_model: "gpt-5".into(),
            streamed: true,
            cache: Some(Status::Miss),
            status: 200,
            ending: Ending::Complete,
            usage: Usage { input: Tokens(10), output: Tokens(3), source: Source::Reported, ..Usage::NOTHING },
            attempts: Vec::new(),
            fallbacks: 0,
            took: Duration::from_millis(5),
            first_byte: Some(Duration::from_millis(1)),
        }
    }

    /// Dashboards cannot tell which shell they read.
    #[test]
    fn what_is_printed_is_what_the_shared_table_has() {
        let (native, mut shared) = (Metrics::default(), Exposition::default());
        let order = Order { breaker: "a/m".into(), change: Change::Release };
        let span = Duration::from_millis(2);
        for event in [
            Event::Started { upstream: "a" },
            Event::Answered { upstream: "a", after: span, failure: None },
            Event::Answered { upstream: "a", after: span, failure: Some(Condition::Timeout) },
            Event::Over { upstream: "a" },
            Event::Retried { upstream: "a" },
            Event::FellBack { route: "r", upstream: "a" },
            Event::Queued { limiter: "all", waited: span },
            Event::Shed { limiter: "all", why: Why::QueueFull },
            Event::Refused { request_id: "r", caller: "c", refusal: &Refusal::Internal },
            Event::Ordered { request_id: "r", who: "admin", order: &order },
        ] {
            native.observe(&event);
            metrics::event(&event, &mut shared);
        }
        native.record(&a_record());
        metrics::record(&a_record(), &mut shared);
        for alone in
            [metrics::Family::InFlight, metrics::Family::StoreConnections, metrics::Family::CacheKept]
        {
            shared.shift(alone, &[], 0);
        }
        shared.count(metrics::Family::StoreUnsettled, &[], 0);
        let entry = Entry {
            breaker: "simulated/m".into(),
            gate: Gate::HalfOpen,
            automatic: Gate::HalfOpen,
            own: None,
        };
        let listing = Listing { entries: vec![entry], has_more: false };
        let machine = Machine { simulated: http::Uri::from_static("http://127.0.0.1:9/v1") };
        let config = document::load(None, &machine).unwrap().config;
        metrics::breakers(&config.upstreams, &listing, &mut shared);
        let breakers = Some((config.upstreams.as_slice(), listing));
        let standing = Standing { cached: 0, loads: Vec::new(), breakers };
        let text = native.print(&Books::default(), &standing).unwrap();
        let shared = shared.to_string();
        let heads = |text: &'_ str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(heads(&text), heads(&shared));
        // Neither sorts by the other's order.
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (text.lines().collect(), shared.lines().collect());
        assert_eq!(ours, theirs);
    }

    #[test]
    fn orders_are_counted_by_upstream_and_not_by_model() {
        let metrics = Metrics::default();
        for model in ["made", "up"] {
            let order = Order { breaker: format!("a/{model}"), change: Change::Release };
            metrics.observe(&Event::Ordered { request_id: "r", who: "admin", order: &order });
        }
        let standing = Standing { cached: 0, loads: Vec::new(), breakers: None };
        let text = metrics.print(&Books::default(), &standing).unwrap();
        assert!(text.contains("weir_orders_total{upstream=\"a\",state=\"auto\"} 2\n"), "{text}");
    }
}
