//! A call that another replica makes, listened to through the store: what comes of it is told to all who
//! listen here, as if it were this process's own.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::cache::in_flight::{End, Head};
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::accounting::task::{Relay, Task};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::lease::{Mark, Overheard, Piece};
use crate::store::protocol::StoreLost;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How often it is said that somebody still listens, where those who listen are slow.
const STILL_HERE: Duration = Duration::from_secs(1);

impl<P: Platform> Relay<P> {
    /// Has the settlement tell here what a call elsewhere says; the books of `trail` are closed behind it.
    pub(in crate::pipeline) fn start(self, trail: &mut Trail<P>) {
        let Some((send, books)) = trail.nest() else { return };
        // If nobody runs it, whoever listens hears of an error.
        let _ = send.send(Task::Relay(Box::new(self), books));
    }

    /// Tells what is heard to the end, or until nobody listens here any more.
    pub(crate) async fn run(self) {
        match select(pin!(self.hear()), poll_fn(|cx| self.pilot.poll_deserted(cx))).await {
            Either::Left((end, _)) => self.pilot.end(None, end),
            Either::Right(_) => {}
        }
    }

    /// Hears it to its end. Whoever makes the call says when it is complete; nothing else is.
    async fn hear(&self) -> End {
        let truncated = || End { ending: Ending::Truncated, notice: None, entry: None };
        let mut from = 0;
        let mut heard_at = self.platform.now();
        loop {
            match self.platform.overhear(self.lease, self.id, from).await {
                Ok(Overheard::Piece { piece: Piece { head, bytes, end }, is_led }) => {
                    heard_at = self.platform.now();
                    if let Some(head) = head {
                        let Some(head) = Head::read(&head) else { break };
                        self.pilot.begin(head);
                    }
                    if !bytes.is_empty() {
                        from += bytes.len() as u64;
                        self.room().await;
                        self.pilot.give(&bytes);
                    }
                    match end {
                        Some(Mark::Complete) => return End { ending: Ending::Complete, ..truncated() },
                        Some(Mark::Cut { notice }) => return End { notice, ..truncated() },
                        // Its leader has died.
                        None if !is_led && bytes.is_empty() => break,
                        None => {}
                    }
                }
                Ok(Overheard::Nothing) => break,
                Err(StoreLost) if self.platform.now().since(heard_at) > self.lease.span => break,
                Err(StoreLost) => {}
            }
            self.platform.sleep(LOOK).await;
        }
        // Only who has heard nothing of it yet is told so.
        let problem = "its answer to an identical call was lost";
        self.pilot.fail(Refusal::UpstreamFailed { problem }, None);
        truncated()
    }

    /// Waits until there is room for more, and says meanwhile that somebody still listens.
    async fn room(&self) {
        while let Either::Right(_) =
            select(poll_fn(|cx| self.pilot.poll_room(cx)), self.platform.sleep(STILL_HERE)).await
        {
            // Nothing is read with it; should it not arrive, the next may.
            let _ = self.platform.overhear(self.lease, self.id, u64::MAX).await;
        }
    }
}
