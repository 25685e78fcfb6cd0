//! Waiting for one's turn where too many want something at the same time.

use std::time::Duration;

use futures_util::future::{Either, select};

use crate::limits::concurrency::{Concurrency, Entrant, Entry, Priority, Shed, Slot};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::telemetry::event::Event;
use crate::time::Instant;

/// The name of the limiter of all calls of a process.
pub(super) const PROCESS: &str = "process";

/// Whose turn it is, and until when that is of use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) priority: Priority,
    pub(super) deadline: Instant,
}

impl Turn {
    /// A slot of the limiter `name`, if calls are counted there, and how long it was waited for.
    pub(super) async fn take<P: Platform>(
        self,
        platform: &P,
        name: &str,
        policy: Option<&Concurrency>,
    ) -> Result<(Option<Slot>, Duration), Refusal> {
        let (Some(policy), Some(limiters)) = (policy, platform.limiters()) else {
            return Ok((None, Duration::ZERO));
        };
        let Self { priority, deadline } = self;
        let now = platform.now();
        let shed = |shed: Shed| {
            platform.observe(Event::Shed { limiter: name, why: shed.why });
            Refusal::Overloaded { retry_after: shed.retry_after }
        };
        let mut waiting = match limiters.limiter(name).enter(policy, Entrant { priority, deadline }, now) {
            Entry::Admitted(slot) => return Ok((Some(slot), Duration::ZERO)),
            Entry::Shed(why) => return Err(shed(why)),
            Entry::Queued(waiting) => waiting,
        };
        let patience = platform.sleep(waiting.until().since(now));
        let outcome = match select(&mut waiting, patience).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(waiting.expired(platform.now())),
        };
        let waited = platform.now().since(now);
        platform.observe(Event::Queued { limiter: name, waited });
        outcome.map(|slot| (Some(slot), waited)).map_err(shed)
    }
}
