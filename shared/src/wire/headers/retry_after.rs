//! When an upstream wants to be asked again, as a header of its own says it.

use std::time::Duration;

use http::HeaderMap;

use crate::time::UnixMillis;

/// How long to wait, where a header of its own says so; `now` is for dates.
pub(crate) fn named(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = |name: &str| text(name)?.parse::<f64>().ok().and_then(|ms| seconds(ms / 1000.0));
    millis("retry-after-ms")
        .or_else(|| millis("x-ms-retry-after-ms"))
        .or_else(|| seconds_or_date(text("retry-after")?, now))
}

fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}

fn seconds_or_date(text: &str, now: UnixMillis) -> Option<Duration> {
    if let Ok(value) = text.parse::<f64>() {
        return seconds(value);
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_millis(now.0)))
}
