//! What is handed to the settlement, and the two ends of that.

use std::fmt;
use std::sync::Arc;

use futures_channel::oneshot;

use super::Trail;
use super::held::Held;
use super::learned::Learned;
use crate::cache::in_flight::{Listener, Pilot};
use crate::config::Config;
use crate::ledger::explanation::Explanation;
use crate::ledger::record::Record;
use crate::limits::concurrency::Priority;
use crate::pipeline::answer_stream::Course;
use crate::pipeline::answer_stream::websocket::Open;
use crate::pipeline::charge::Charge;
use crate::pipeline::sent::Sent;
use crate::platform::Platform;
use crate::routing::plan::Plan;
use crate::store::lease::Lease;
use crate::store::protocol::{Keeping, Reservation};
use crate::telemetry::trace::Trace;
use crate::time::Instant;

/// What is left to do when the answer has gone, or the client has. Run it to its end, beside the body or
/// after it; it is short unless a route says `on_disconnect = "finish"`.
#[must_use = "accounting happens when this is run"]
pub struct Settlement<P: Platform> {
    pub(in crate::pipeline) platform: P,
    pub(in crate::pipeline) task: oneshot::Receiver<Task<P>>,
}

impl<P: Platform> fmt::Debug for Settlement<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").finish_non_exhaustive()
    }
}

/// What there is to do.
pub(in crate::pipeline) enum Task<P: Platform> {
    /// To close the books.
    Close(Box<Left<P>>),
    /// To make a call that several may listen to, and to close the books of the one who asked first.
    Lead(Box<Lead<P>>),
    /// To charge a request whose client left before it was admitted.
    Charge(Charge),
    /// To relay a websocket to its end, and to close its books.
    Session(Box<Session<P>>),
    /// To renew what is held for as long as the books are open, which come behind it.
    Hold(Box<Held>, Settlement<P>),
    /// To tell here what a call elsewhere says, and to close the books of the one who asked for it first.
    Relay(Box<Relay<P>>, Settlement<P>),
}

/// The request as it was left.
pub(in crate::pipeline) struct Left<P: Platform> {
    pub(in crate::pipeline) record: Record,
    pub(in crate::pipeline) reservation: Reservation,
    pub(in crate::pipeline) learned: Learned,
    pub(in crate::pipeline) started: Instant,
    pub(in crate::pipeline) prompt_bytes: usize,
    pub(in crate::pipeline) keeping: Keeping,
    /// What there is still to wait for.
    pub(in crate::pipeline) rest: Option<Rest<P>>,
}

pub(in crate::pipeline) enum Rest<P: Platform> {
    /// The answer is complete: only the connection's sake.
    Connection(Course<P>),
    /// The client has gone, the answer is wanted for its usage.
    Answer {
        course: Course<P>,
        /// As [`Trail::caller_id`] has it.
        caller: u64,
    },
    /// The client has gone, the answer of the shared call is wanted for its `Idempotency-Key`.
    Flight(Listener),
}

/// All that the call needs; it belongs to no client.
pub(crate) struct Lead<P: Platform> {
    pub(crate) platform: P,
    pub(crate) config: Arc<Config>,
    pub(crate) trace: Trace,
    pub(crate) started: Instant,
    pub(crate) priority: Priority,
    pub(crate) explanation: Option<Explanation>,
    /// Index in [`Config::routes`].
    pub(crate) route: usize,
    pub(crate) plan: Plan,
    pub(crate) sent: Sent<P::Upload>,
    pub(crate) trail: Trail<P>,
    pub(crate) pilot: Pilot,
    /// Where the trail leads to.
    pub(crate) books: Settlement<P>,
}

/// A call that is made elsewhere.
pub(crate) struct Relay<P: Platform> {
    pub(crate) platform: P,
    pub(crate) lease: Lease,
    /// The call.
    pub(crate) id: u64,
    pub(crate) pilot: Pilot,
}

/// A websocket that is open, and its books.
pub(crate) struct Session<P: Platform> {
    pub(crate) platform: P,
    pub(crate) open: Box<Open<P>>,
    pub(crate) trail: Trail<P>,
    /// Where the trail leads to.
    pub(crate) books: Settlement<P>,
}

/// One end of the hand-over. Until the request is admitted there is nothing to settle; if it goes before that, it is
/// charged.
pub(crate) struct Docket<P: Platform> {
    /// Taken as the request is admitted.
    pub(in crate::pipeline) send: Option<oneshot::Sender<Task<P>>>,
    charge: Option<Charge>,
}

impl<P: Platform> Docket<P> {
    /// From here on the request is charged, even if its client leaves.
    pub(crate) fn charge_for(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    /// What the request would be charged; from here on somebody else sees to it.
    pub(crate) fn take_charge(&mut self) -> Option<Charge> {
        self.charge.take()
    }
}

impl<P: Platform> Drop for Docket<P> {
    fn drop(&mut self) {
        if let (Some(send), Some(charge)) = (self.send.take(), self.charge.take()) {
            // A settlement that nobody runs has no reader, and then nobody keeps books.
            let _ = send.send(Task::Charge(charge));
        }
    }
}

pub(crate) fn docket<P: Platform>(platform: &P) -> (Docket<P>, Settlement<P>) {
    let (send, settlement) = hand_over(platform);
    (Docket { send: Some(send), charge: None }, settlement)
}

pub(in crate::pipeline) fn hand_over<P: Platform>(platform: &P) -> (oneshot::Sender<Task<P>>, Settlement<P>) {
    let (send, task) = oneshot::channel();
    (send, Settlement { platform: platform.clone(), task })
}
