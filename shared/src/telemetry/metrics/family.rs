//! The table, in the names of OpenTelemetry's GenAI conventions where they have one.

/// A name that numbers are printed under. In the order in which they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    InFlight,
    ConnectionsRefused,
    Requests,
    Refusals,
    Attempts,
    UpstreamInFlight,
    StaleConnections,
    Unprocessed,
    Unsent,
    StreamsQueued,
    StreamWait,
    Retries,
    Fallbacks,
    StreamsEnded,
    WebSocketsOpen,
    WebSocketsEnded,
    WebSocketBytes,
    Usage,
    Endings,
    Reloads,
    Orders,
    Cache,
    Shed,
    QueueWait,
    RequestDuration,
    FirstByte,
    StoreFaults,
    StoreConnections,
    StoreWaiting,
    StoreUnsettled,
    AnswersNotKept,
    StoreForbidden,
    LogLinesDropped,
    OperationDuration,
    TokenUsage,
    FirstToken,
    /// The conventions have two names for what is one thing at a gateway: it prints [`Self::OperationDuration`].
    ServerDuration,
    PerOutputToken,
    LedgerRecent,
    CacheKept,
    ConcurrencyLimit,
    Concurrency,
    Queued,
    Breakers,
}

/// What may be done with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows.
    Counter,
    /// It is as it is at the moment.
    Gauge,
    /// Values are told apart by size.
    Histogram(Grain),
}

/// What a value of a histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Microseconds, printed as seconds.
    Micros,
    Tokens,
}

/// 1 ms to 320 s: from a cache's answer to a reasoning model's.
const MICROS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    40_000_000,
    80_000_000,
    160_000_000,
    320_000_000,
];

/// Tokens of a call.
const TOKENS: &[u64] = &[1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262_144, 1_048_576];

impl Grain {
    /// Inclusive upper bounds; a last bucket without a bound follows them.
    pub const fn bounds(self) -> &'static [u64] {
        match self {
            Self::Micros => MICROS,
            Self::Tokens => TOKENS,
        }
    }

    /// Which bucket a value belongs to: an index into [`Self::bounds`], or their number.
    pub fn bucket(self, value: u64) -> usize {
        self.bounds().partition_point(|bound| *bound < value)
    }

    /// How many of it are one when printed.
    pub(super) const fn scale(self) -> u64 {
        match self {
            Self::Micros => 1_000_000,
            Self::Tokens => 1,
        }
    }
}

/// A call, as the GenAI conventions label it. The model is the route's pattern: clients can make up any number of
/// names that a glob matches.
const CALL: &[&str] = &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"];

const CALL_TOKENS: &[&str] =
    &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"];

const SECONDS: Kind = Kind::Histogram(Grain::Micros);

/// Name, help, kind, label names, and the name's short form in a store.
type Row = (&'static str, &'static str, Kind, &'static [&'static str], &'static str);

impl Family {
    pub const ALL: [Self; 44] = [
        Self::InFlight,
        Self::ConnectionsRefused,
        Self::Requests,
        Self::Refusals,
        Self::Attempts,
        Self::UpstreamInFlight,
        Self::StaleConnections,
        Self::Unprocessed,
        Self::Unsent,
        Self::StreamsQueued,
        Self::StreamWait,
        Self::Retries,
        Self::Fallbacks,
        Self::StreamsEnded,
        Self::WebSocketsOpen,
        Self::WebSocketsEnded,
        Self::WebSocketBytes,
        Self::Usage,
        Self::Endings,
        Self::Reloads,
        Self::Orders,
        Self::Cache,
        Self::Shed,
        Self::QueueWait,
        Self::RequestDuration,
        Self::FirstByte,
        Self::StoreFaults,
        Self::StoreConnections,
        Self::StoreWaiting,
        Self::StoreUnsettled,
        Self::AnswersNotKept,
        Self::StoreForbidden,
        Self::LogLinesDropped,
        Self::OperationDuration,
        Self::TokenUsage,
        Self::FirstToken,
        Self::ServerDuration,
        Self::PerOutputToken,
        Self::LedgerRecent,
        Self::CacheKept,
        Self::ConcurrencyLimit,
        Self::Concurrency,
        Self::Queued,
        Self::Breakers,
    ];

    /// As it is printed; samples of counters have `_total` behind it.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// A sentence without its full stop.
    pub const fn help(self) -> &'static str {
        self.row().1
    }

    pub const fn kind(self) -> Kind {
        self.row().2
    }

    pub const fn labels(self) -> &'static [&'static str] {
        self.row().3
    }

    /// `seconds` where the name ends with it; the conventions' names carry no unit, and OpenMetrics has none
    /// without it.
    pub fn unit(self) -> Option<&'static str> {
        self.name().ends_with("_seconds").then_some("seconds")
    }

    /// Whose numbers are printed under this name.
    #[must_use]
    pub const fn source(self) -> Self {
        if matches!(self, Self::ServerDuration) { Self::OperationDuration } else { self }
    }

    /// Lower-case letters. Numbers in a store are known by it, so it never changes.
    pub(super) const fn code(self) -> &'static str {
        self.row().4
    }

    #[expect(clippy::too_many_lines, reason = "it is a table")]
    const fn row(self) -> Row {
        use Kind::{Counter, Gauge};
        const ROUTE: &[&str] = &["route"];
        const UPSTREAM: &[&str] = &["upstream"];
        const LIMITER: &[&str] = &["limiter"];
        const OUTCOME: &[&str] = &["outcome"];
        match self {
            Self::InFlight => ("weir_in_flight", "Requests being answered", Gauge, &[], "if"),
            Self::ConnectionsRefused => (
                "weir_connections_refused",
                "Connections beyond what there may be, by which bound",
                Counter,
                &["bound"],
                "xr",
            ),
            Self::Requests => (
                "weir_requests",
                "Admitted requests, by how they were answered",
                Counter,
                &["route", "upstream", "status"],
                "rq",
            ),
            Self::Refusals => {
                ("weir_refusals", "Requests that were not admitted", Counter, &["status", "code"], "rf")
            }
            Self::Attempts => {
                ("weir_upstream_attempts", "Tries at upstreams", Counter, &["upstream", "outcome"], "at")
            }
            Self::UpstreamInFlight => {
                ("weir_upstream_in_flight", "Calls at upstreams", Gauge, UPSTREAM, "ui")
            }
            Self::StaleConnections => (
                "weir_upstream_stale_connections",
                "Connections that were found closed when they were to be used again",
                Counter,
                UPSTREAM,
                "st",
            ),
            Self::Unprocessed => (
                "weir_upstream_unprocessed",
                "Requests that an upstream sent back unread, and that went out again for free",
                Counter,
                UPSTREAM,
                "un",
            ),
            Self::Unsent => (
                "weir_upstream_unsent",
                "Calls that were not sent for want of something of the gateway's own, and of what",
                Counter,
                &["upstream", "want"],
                "uw",
            ),
            Self::StreamsQueued => (
                "weir_upstream_queued",
                "Calls that wait for room on a connection to an upstream",
                Gauge,
                UPSTREAM,
                "uq",
            ),
            Self::StreamWait => (
                "weir_upstream_queue_wait_seconds",
                "How long calls waited for room on a connection to an upstream",
                SECONDS,
                UPSTREAM,
                "qu",
            ),
            Self::Retries => {
                ("weir_retries", "Calls tried again at the same upstream", Counter, UPSTREAM, "rt")
            }
            Self::Fallbacks => (
                "weir_fallbacks",
                "Calls taken on to the next candidate",
                Counter,
                &["route", "upstream"],
                "fb",
            ),
            Self::WebSocketsOpen => {
                ("weir_websockets_open", "Websockets that are open", Gauge, UPSTREAM, "wo")
            }
            Self::WebSocketsEnded => (
                "weir_websockets_ended",
                "Websockets, by how they ended",
                Counter,
                &["route", "ending"],
                "we",
            ),
            Self::WebSocketBytes => (
                "weir_websocket_bytes",
                "Bytes that went through websockets, by direction",
                Counter,
                &["upstream", "direction"],
                "wb",
            ),
            Self::StreamsEnded => (
                "weir_streams_ended",
                "Streamed answers, by how they ended",
                Counter,
                &["route", "ending"],
                "se",
            ),
            Self::Usage => {
                ("weir_usage", "Admitted requests, by who reported usage", Counter, &["source"], "us")
            }
            Self::Endings => {
                ("weir_endings", "Admitted requests, by how they ended", Counter, &["ending"], "en")
            }
            Self::Reloads => ("weir_config_reloads", "Configurations read again", Counter, OUTCOME, "cr"),
            Self::Orders => (
                "weir_orders",
                "Orders of operators, by what they want of a breaker",
                Counter,
                // A glob's models may be made up, the upstream is the configuration's.
                &["upstream", "state"],
                "or",
            ),
            Self::Cache => (
                "weir_cache",
                "Admitted requests of routes with a cache, by x-cache",
                Counter,
                &["route", "status"],
                "ca",
            ),
            Self::Shed => (
                "weir_shed",
                "Calls turned away by a limit on concurrency",
                Counter,
                &["limiter", "why"],
                "sh",
            ),
            Self::QueueWait => {
                ("weir_queue_wait_seconds", "How long calls waited for their turn", SECONDS, LIMITER, "qw")
            }
            Self::RequestDuration => {
                ("weir_request_duration_seconds", "First byte in to last byte out", SECONDS, ROUTE, "rd")
            }
            Self::FirstByte => {
                ("weir_time_to_first_byte_seconds", "First byte in to first byte out", SECONDS, ROUTE, "tf")
            }
            Self::StoreFaults => {
                ("weir_store_faults", "What went wrong with the shared store", Counter, &["kind"], "sf")
            }
            Self::StoreConnections => {
                ("weir_store_connections", "Workers that are connected to the shared store", Gauge, &[], "sc")
            }
            Self::StoreWaiting => {
                ("weir_store_waiting", "Ends of calls the shared store is still to be told", Gauge, &[], "sw")
            }
            Self::StoreUnsettled => {
                ("weir_store_unsettled", "Calls whose end the shared store was not told", Counter, &[], "su")
            }
            Self::AnswersNotKept => (
                "weir_store_answers_not_kept",
                "Answers that the shared store had no room for, by why",
                Counter,
                &["reason"],
                "nk",
            ),
            Self::StoreForbidden => (
                "weir_store_forbidden",
                "Attempts to connect to a shared store that forbids a command, or its keys",
                Counter,
                &["command"],
                "fo",
            ),
            Self::LogLinesDropped => {
                ("weir_log_lines_dropped", "Log lines that nobody read in time", Counter, &[], "ll")
            }
            Self::OperationDuration => {
                ("gen_ai_client_operation_duration", "Duration of a call in seconds", SECONDS, CALL, "od")
            }
            Self::TokenUsage => (
                "gen_ai_client_token_usage",
                "Tokens of a call",
                Kind::Histogram(Grain::Tokens),
                CALL_TOKENS,
                "tu",
            ),
            Self::FirstToken => (
                "gen_ai_server_time_to_first_token",
                "Wait for an upstream's first content in seconds",
                SECONDS,
                UPSTREAM,
                "ft",
            ),
            Self::ServerDuration => (
                "gen_ai_server_request_duration",
                "Duration of a call at the gateway in seconds",
                SECONDS,
                CALL,
                "sd",
            ),
            Self::PerOutputToken => (
                "gen_ai_server_time_per_output_token",
                "Seconds for each token of a stream after the first",
                SECONDS,
                CALL,
                "pt",
            ),
            Self::LedgerRecent => {
                ("weir_ledger_recent", "Last records of the ledger, by how they ended", Gauge, OUTCOME, "lr")
            }
            Self::CacheKept => ("weir_cache_kept_bytes", "Bytes of answers that are kept", Gauge, &[], "ck"),
            Self::ConcurrencyLimit => (
                "weir_concurrency_limit",
                "Calls that may be under way at the same time",
                Gauge,
                LIMITER,
                "cl",
            ),
            Self::Concurrency => {
                ("weir_concurrency", "Calls under way, where they are limited", Gauge, LIMITER, "co")
            }
            Self::Queued => ("weir_queued", "Calls that wait for their turn", Gauge, LIMITER, "qd"),
            Self::Breakers => (
                "weir_breakers",
                "Breakers that are open, and those that an operator holds, by what they do to calls",
                Gauge,
                &["upstream", "state"],
                "br",
            ),
        }
    }
}
