//! Bounds of the server in front.

use std::time::Duration;

use super::{Range, concurrency, positive, within};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::{Server, WebSocket, raw};
use crate::identity::access::Auth;
use crate::identity::cors::{Cors, Origin};
use crate::limits::concurrency::{Bound, Concurrency};

/// Where the document says nothing.
const CONCURRENCY: Concurrency =
    Concurrency { bound: Bound::Fixed(10_000), queue: 1000, wait: concurrency::WAIT };

/// Of bodies, where the document says nothing and takes none that is large.
const MAX_BUFFERED: u64 = 256 << 20;

/// No answer is kept for longer to be given again: seven days.
const LONGEST_IDEMPOTENCY: Duration = Duration::from_hours(7 * 24);

/// What a session holds would be held for that long.
const LONGEST_WEBSOCKET: Duration = Duration::from_hours(24);

pub(super) fn server(raw: &raw::Server, auth: Auth, report: &mut Report<'_>) -> Server {
    let path = Path::ROOT.key("server");
    let mut time = |key: &str, time: Option<raw::Time>, default: u64| {
        positive(time, Duration::from_secs(default), &path.key(key), report)
    };
    let header_timeout = time("header_timeout", raw.header_timeout, 10);
    let keep_alive = time("keep_alive", raw.keep_alive, 75);
    let body_timeout = time("body_timeout", raw.body_timeout, 30);
    let grace = raw.grace.map_or(Duration::from_secs(30), |time| time.0);
    let mut number = |key: &str, number: Option<u64>, default: u32, range: Range| {
        within(number, default, range, &path.key(key), report)
    };
    let max_depth = number("max_depth", raw.max_depth, 64, (1, 128));
    let max_n = number("max_n", raw.max_n, 128, (1, 1_000_000));
    let workers = number("workers", raw.workers, 0, (0, 1024)) as usize;
    let trusted_proxies = number("trusted_proxies", raw.trusted_proxies, 0, (0, 16)) as usize;
    let max_connections = number("max_connections", raw.max_connections, 10_000, (1, 1_000_000));
    let usual = if trusted_proxies == 0 { 1000.min(max_connections) } else { max_connections };
    let by_address = raw.max_connections_per_address;
    let max_connections_per_address =
        number("max_connections_per_address", by_address, usual, (1, 1_000_000)) as usize;
    let max_connections = max_connections as usize;
    let max_body = raw.max_body.map_or(32 << 20, |size| size.0);
    if !(1..=1 << 30).contains(&max_body) {
        report.fault(&path.key("max_body"), "must be at least 1 byte and at most 1GiB");
    }
    let max_buffered = raw.max_buffered.map_or(MAX_BUFFERED.max(max_body.saturating_mul(8)), |size| size.0);
    if !(max_body.saturating_mul(4)..=1 << 40).contains(&max_buffered) {
        report
            .fault(&path.key("max_buffered"), "must be at least four times `max_body`, and at most 1024GiB");
    }
    let min_upload_rate = raw.min_upload_rate.map_or(1024, |size| size.0);
    if min_upload_rate > 64 << 10 {
        report.fault(&path.key("min_upload_rate"), "must be at most 64KiB");
    }
    let concurrency = match &raw.concurrency {
        None => Some(CONCURRENCY),
        Some(raw) => concurrency::concurrency(raw, CONCURRENCY.queue, &path.key("concurrency"), report),
    };
    let idempotency = raw.idempotency.map_or(Duration::from_hours(24), |time| time.0);
    if !(Duration::from_secs(1)..=LONGEST_IDEMPOTENCY).contains(&idempotency) {
        report.fault(&path.key("idempotency"), "must be at least 1s and at most 168h");
    }
    let max_event = raw.max_event.map_or(32 << 20, |size| size.0);
    if !(1..=1 << 30).contains(&max_event) {
        report.fault(&path.key("max_event"), "must be at least 1 byte and at most 1GiB");
    }
    Server {
        max_body,
        max_buffered,
        min_upload_rate,
        max_depth,
        max_n,
        header_timeout,
        keep_alive,
        body_timeout,
        grace,
        workers,
        trusted_proxies,
        max_connections,
        max_connections_per_address,
        concurrency,
        idempotency,
        max_event,
        cors: raw.cors.as_ref().map(|raw| cors(raw, auth, &path.key("cors").key("origins"), report)),
        websocket: websocket(raw.websocket.as_ref(), &path.key("websocket"), report),
    }
}

fn cors(raw: &raw::Cors, auth: Auth, path: &Path, report: &mut Report<'_>) -> Cors {
    if raw.origins.is_empty() {
        report.fault(path, Problem::new("names no origin").hint("write origins = [\"https://app.example\"]"));
    }
    let mut origins = Vec::new();
    for (at, text) in raw.origins.iter().enumerate() {
        match Origin::parse(text) {
            Ok(Origin::Any) if matches!(auth, Auth::Open { .. }) => {
                let problem =
                    Problem::new("with auth = \"open\" any page that somebody here looks at could call");
                report.fault(&path.index(at), problem.hint("name the origins, or set auth = \"keys\""));
            }
            Ok(origin) => origins.push(origin),
            Err((problem, hint)) => report.fault(&path.index(at), Problem::new(problem).hint(hint)),
        }
    }
    Cors { origins }
}

fn websocket(raw: Option<&raw::WebSocket>, path: &Path, report: &mut Report<'_>) -> WebSocket {
    let mut time = |key: &str, time: Option<raw::Time>, default: u64| {
        positive(time, Duration::from_mins(default), &path.key(key), report)
    };
    let total = time("total", raw.and_then(|raw| raw.total), 60);
    let idle = time("idle", raw.and_then(|raw| raw.idle), 10);
    if total > LONGEST_WEBSOCKET {
        report.fault(&path.key("total"), "must be at most 24h");
    }
    WebSocket { total, idle }
}
