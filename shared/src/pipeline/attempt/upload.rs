//! An upload that is passed on as it comes, and whose fault it is when that takes too long: the client's as long as
//! it is awaited, the upstream's while it does not read what is here, or does not answer what it has read.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};

use crate::ledger::record::Ending;
use crate::pipeline::attempt::Errand;
use crate::pipeline::attempt::failure::Failure;
use crate::pipeline::read::Pace;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::Blame;
use crate::routing::upstream::Upstream;
use crate::routing::upstream::dispatch::{Dispatch, SendFault};
use crate::time::Instant;
use crate::wire::upload::{Payload, Progress, Stage};

/// How long each side may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the client: without a byte, and in all.
    body: Duration,
    pace: Pace,
    /// For the upstream to take what is here.
    idle: Duration,
    first_byte: Duration,
    deadline: Instant,
}

/// What has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Client,
    Upstream {
        waited: Duration,
    },
    /// All of it.
    Deadline,
}

/// How an upload went up to now.
#[derive(Debug)]
struct Watch {
    stage: Stage,
    bytes: u64,
    /// When either changed last.
    since: Instant,
    /// How long the client was awaited before that, in all.
    awaited: Duration,
}

impl Watch {
    const fn new(now: Instant) -> Self {
        Self { stage: Stage::Unread, bytes: 0, since: now, awaited: Duration::ZERO }
    }

    /// Until when all is well.
    fn look(
        &mut self,
        now: Instant,
        (stage, bytes): (Stage, u64),
        patience: &Patience,
    ) -> Result<Instant, Late> {
        if (stage, bytes) != (self.stage, self.bytes) {
            self.awaited = self.client_was_awaited(now);
            (self.stage, self.bytes, self.since) = (stage, bytes, now);
        }
        let (allowed, late) = match stage {
            Stage::Awaited => {
                // The slowest client that is waited for, as with any other body.
                let earned = patience.pace.allows(bytes);
                (patience.body.min(earned.saturating_sub(self.awaited)), Late::Client)
            }
            Stage::Broken => (Duration::ZERO, Late::Client),
            Stage::Unread => (patience.idle, Late::Upstream { waited: patience.idle }),
            Stage::Complete => (patience.first_byte, Late::Upstream { waited: patience.first_byte }),
        };
        let until = self.since.after(allowed);
        match () {
            () if now >= until => Err(late),
            () if now >= patience.deadline => Err(if late == Late::Client { late } else { Late::Deadline }),
            () => Ok(until.min(patience.deadline)),
        }
    }

    fn client_was_awaited(&self, now: Instant) -> Duration {
        let last = if self.stage == Stage::Awaited { now.since(self.since) } else { Duration::ZERO };
        self.awaited + last
    }
}

impl<P: Platform> Errand<'_, P> {
    /// An upload takes its own time as long as it moves, and the wait for the first byte begins at its end.
    pub(crate) async fn send_upload(
        &mut self,
        upstream: &Upstream,
        request: Request<Payload<P::Upload>>,
        progress: Arc<Progress>,
    ) -> Result<Response<P::Download>, Failure> {
        let patience = Patience {
            body: self.config.server.body_timeout,
            pace: Pace::of(&self.config.server),
            idle: upstream.timeouts.idle,
            first_byte: upstream.timeouts.whole,
            deadline: self.deadline,
        };
        let platform = self.platform;
        let mut watch = Watch::new(platform.now());
        let mut timer: Option<(Instant, P::Sleep)> = None;
        let dispatch = Dispatch::default();
        let mut answer = pin!(platform.send(upstream, request, &dispatch));
        let outcome = poll_fn(|cx| {
            progress.wake_at_change(cx.waker());
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            loop {
                let now = platform.now();
                let until = match watch.look(now, progress.state(), &patience) {
                    Ok(until) => until,
                    Err(late) => return Poll::Ready(Err(late)),
                };
                // A timer that is early is set anew when it fires, not with every chunk.
                let (_, sleep) = match timer.take().filter(|(set, _)| *set <= until) {
                    Some(set) => timer.insert(set),
                    None => timer.insert((until, platform.sleep(until.since(now)))),
                };
                if Pin::new(sleep).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                timer = None;
            }
        })
        .await;
        let (stage, _) = progress.state();
        let is_clients_time = watch.client_was_awaited(platform.now()) > self.total / 2;
        let blamed = |failure: Failure| {
            let is_clients = stage == Stage::Awaited || is_clients_time;
            Failure { blame: if is_clients { Blame::Nobody } else { failure.blame }, ..failure }
        };
        match outcome {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(SendFault::Broken)) | Err(Late::Client) if stage == Stage::Broken => {
                let problem = "the body ended before it was complete".into();
                Err(Failure::of_client(Refusal::InvalidJson { problem }, Ending::ClientGone))
            }
            // An upstream may hang up on a request that does not come.
            Ok(Err(SendFault::Broken)) => Err(blamed(Failure::from(SendFault::Broken))),
            Ok(Err(fault)) => Err(Failure::from(fault)),
            Err(Late::Client) => Err(Failure::of_client(Refusal::TooSlow, Ending::Rejected)),
            Err(Late::Upstream { .. } | Late::Deadline) if dispatch.is_queued() => {
                Err(Failure::from(SendFault::Busy))
            }
            Err(Late::Upstream { waited }) => {
                dispatch.time_out();
                Err(Failure::timeout(waited))
            }
            Err(Late::Deadline) => Err(blamed(Failure::timeout(self.total))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn patience(total: u64) -> Patience {
        let [body, idle, first_byte] = [30, 60, 120].map(Duration::from_secs);
        Patience { body, pace: Pace::new(body, 0), idle, first_byte, deadline: at(total) }
    }

    /// What comes of looking at each of these seconds.
    fn looked(total: u64, states: &[(u64, Stage, u64)]) -> Result<Instant, Late> {
        let mut watch = Watch::new(at(0));
        let mut last = Ok(at(0));
        for (second, stage, bytes) in states {
            last = watch.look(at(*second), (*stage, *bytes), &patience(total));
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn whoever_is_waited_for_is_late() {
        let upstream = |seconds| Err(Late::Upstream { waited: Duration::from_secs(seconds) });
        for (total, states, expected, why) in [
            (600, &[(0, Stage::Awaited, 0), (29, Stage::Awaited, 0)][..], Ok(at(30)), "one wait"),
            (600, &[(0, Stage::Awaited, 0), (30, Stage::Awaited, 0)], Err(Late::Client), "and no second one"),
            (
                600,
                &[(0, Stage::Awaited, 0), (20, Stage::Awaited, 1 << 20), (49, Stage::Awaited, 1 << 20)],
                Err(Late::Client),
                "a megabyte earns sixteen seconds",
            ),
            (
                600,
                &[(0, Stage::Awaited, 0), (20, Stage::Awaited, 4 << 20), (49, Stage::Awaited, 4 << 20)],
                Ok(at(50)),
                "never more than one wait without a byte",
            ),
            (
                20,
                &[(0, Stage::Awaited, 0), (20, Stage::Awaited, 0)],
                Err(Late::Client),
                "at the deadline the client is late if it is awaited",
            ),
            (
                20,
                &[(0, Stage::Awaited, 0), (19, Stage::Complete, 9), (20, Stage::Complete, 9)],
                Err(Late::Deadline),
                "and nobody else by himself",
            ),
            (20, &[(0, Stage::Unread, 9), (20, Stage::Unread, 9)], Err(Late::Deadline), "the deadline"),
            (600, &[(0, Stage::Unread, 9), (60, Stage::Unread, 9)], upstream(60), "what is here is not read"),
            (
                600,
                &[(0, Stage::Complete, 9), (120, Stage::Complete, 9)],
                upstream(120),
                "what was read is not answered",
            ),
            (
                600,
                &[(100, Stage::Complete, 9), (219, Stage::Complete, 9)],
                Ok(at(220)),
                "from the end of the upload on",
            ),
            (600, &[(5, Stage::Broken, 9)], Err(Late::Client), "it has left"),
        ] {
            assert_eq!(looked(total, states), expected, "{why}");
        }
    }

    #[test]
    fn a_trickle_is_late_though_it_never_stops() {
        let trickle: Vec<_> = (0..600).map(|second| (second, Stage::Awaited, second * 100)).collect();
        assert_eq!(looked(10_000, &trickle), Err(Late::Client));
        let slow: Vec<_> = (0..600).map(|second| (second, Stage::Awaited, second * (64 << 10))).collect();
        assert!(looked(10_000, &slow).is_ok(), "the slowest that is taken");
    }

    #[test]
    fn a_client_is_not_blamed_for_what_is_not_read() {
        let states: Vec<_> = (0..60)
            .flat_map(|turn| [(turn * 10, Stage::Unread, turn), (turn * 10 + 9, Stage::Awaited, turn)])
            .collect();
        assert_eq!(looked(10_000, &states), Err(Late::Client), "a second of ten, a byte each time");
        assert!(looked(10_000, &states[..50]).is_ok());
    }
}
