//! Points in time that a platform hands in; this crate reads no clock.

use std::time::Duration;

/// A point on the platform's monotonic clock: microseconds since an origin of the platform's choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Zero when `earlier` is not earlier: clocks of some runtimes stand still between I/O.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whether a time that was set `span` ahead has not come. One that lies further ahead than that was set by a clock
    /// that was ahead itself, and counts as over.
    pub fn is_ahead(self, span: Duration, now: Self) -> bool {
        self > now && self <= now.after(span)
    }

    /// Saturates at the end of time.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time, milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// A duration as Go writes it: `120ms`, `1.5s`, `6m0s`, `1m42.653s`.
pub fn go_duration(span: Duration) -> String {
    let millis = span.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let mut seconds = format!("{}.{:03}", millis / 1000 % 60, millis % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Reads `120ms`, `1.5s`, `6m0s`, `1h2m3s`.
pub(crate) fn parse_go_duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..number].parse().ok()?;
        let behind = &rest[number..];
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let scale = match &behind[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(value * scale).ok()?)?;
        rest = &behind[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_duration_text_panics(text in "[0-9.hmsµun]{0,24}") {
            let _ = parse_go_duration(&text);
        }
    }

    #[test]
    fn durations_read_as_go_writes_them() {
        for (millis, text) in [
            (0, "0ms"),
            (120, "120ms"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (102_653, "1m42.653s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
            assert_eq!(parse_go_duration(text), Some(Duration::from_millis(millis)));
        }
    }
}
