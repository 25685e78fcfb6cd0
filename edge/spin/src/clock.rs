//! Time: what it is, and waiting for it. Whatever is waited for goes through here to the executor.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use spin_executor::{CancelOnDropToken, push_waker_and_get_token};
use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::io::poll::Pollable;
use weir::time::{Instant, UnixMillis};

/// Nanoseconds to a microsecond.
const NANOS: u64 = 1000;

/// A wait that is under way; dropped, it is over. It must not outlive what it waits for.
pub(crate) struct Wait {
    _token: CancelOnDropToken,
}

/// Wakes whoever is polled by `cx` when `event` comes.
pub(crate) fn wait(event: Pollable, cx: &Context<'_>) -> Wait {
    Wait { _token: push_waker_and_get_token(event, cx.waker().clone()).into() }
}

/// Since some moment before the instance was made.
pub(crate) fn now() -> Instant {
    Instant::from_micros(monotonic_clock::now() / NANOS)
}

pub(crate) fn wall() -> UnixMillis {
    let since = wall_clock::now();
    let millis = since.seconds.saturating_mul(1000);
    UnixMillis(millis.saturating_add(u64::from(since.nanoseconds / 1_000_000)))
}

/// Completes when its time has come.
pub(crate) struct Sleep {
    /// Nanoseconds of the monotonic clock.
    due: u64,
    wait: Option<Wait>,
}

impl Sleep {
    pub(crate) fn new(span: Duration) -> Self {
        Self { due: monotonic_clock::now().saturating_add(nanos(span)), wait: None }
    }
}

/// As WASI counts spans; the longest is some 584 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if monotonic_clock::now() >= self.due {
            self.wait = None;
            return Poll::Ready(());
        }
        self.wait = Some(wait(monotonic_clock::subscribe_instant(self.due), cx));
        Poll::Pending
    }
}
