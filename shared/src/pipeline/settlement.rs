//! The books of one admitted request, closed exactly once whatever happens to it.
//!
//! [`Trail`](crate::pipeline::accounting::Trail) travels with the request; wherever the request ends, or is dropped, the trail hands the record to
//! the [`Settlement`], which the shell runs on its own: it outlives a client that leaves.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{join, select};

use crate::cache::in_flight::{Listener, Pilot};
use crate::cache::{Entry, Form, Status};
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::{Source, Tokens};
use crate::pipeline::accounting::Learned;
use crate::pipeline::answer_stream::{Course, Step};
use crate::pipeline::charge::Charge;
use crate::pipeline::share::follow_remote::Relay;
use crate::pipeline::share::leader::Lead;
use crate::pipeline::share::lease::Held;
use crate::pipeline::websocket::Session;
use crate::platform::{Closing, Keeping, Platform, Reservation};
use crate::time::Instant;

/// How long a connection is read on for its end, so that it can be used again.
const READ_ON: Duration = Duration::from_secs(1);

/// Bytes that are read on at most: who sends more behind its terminator does not want to end.
const MOST_READ_ON: usize = 64 * 1024;

/// What is left to do when the answer has gone, or the client has. Run it to its end, beside the body or
/// after it; it is short unless a route says `on_disconnect = "finish"`.
#[must_use = "accounting happens when this is run"]
pub struct Settlement<P: Platform> {
    pub(super) platform: P,
    pub(super) task: oneshot::Receiver<Task<P>>,
}

/// What there is to do.
pub(super) enum Task<P: Platform> {
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

impl<P: Platform> fmt::Debug for Settlement<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").finish_non_exhaustive()
    }
}

/// The request as it was left.
pub(super) struct Left<P: Platform> {
    pub(super) record: Record,
    pub(super) reservation: Reservation,
    pub(super) learned: Learned,
    pub(super) started: Instant,
    pub(super) prompt_bytes: usize,
    pub(super) keeping: Keeping,
    /// What there is still to wait for.
    pub(super) rest: Option<Rest<P>>,
}

pub(super) enum Rest<P: Platform> {
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

/// One end of the hand-over. Until the request is admitted there is nothing to settle; if it goes before that, it is
/// charged.
pub(crate) struct Docket<P: Platform> {
    /// Taken as the request is admitted.
    pub(super) send: Option<oneshot::Sender<Task<P>>>,
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

pub(super) fn hand_over<P: Platform>(platform: &P) -> (oneshot::Sender<Task<P>>, Settlement<P>) {
    let (send, task) = oneshot::channel();
    (send, Settlement { platform: platform.clone(), task })
}

impl<P: Platform> Settlement<P> {
    /// Waits for the request's end, then closes its books. It has to run beside the answer, from the beginning: it says
    /// meanwhile that the call is still under way, without which its places and its key are free after
    /// [`crate::limits::account::HELD`], and makes the call where calls are shared.
    pub async fn run(self) {
        let Self { platform, task } = self;
        // Refused before it was admitted, and charged by then: nothing is owed.
        let Ok(task) = task.await else { return };
        match task {
            // Only where something is held is there room for it.
            Task::Hold(held, books) => Box::pin(held.beside(books)).await,
            task
            @ (Task::Close(_) | Task::Charge(_) | Task::Lead(_) | Task::Relay(..) | Task::Session(_)) => {
                task.end(&platform).await;
            }
        }
    }
}

impl<P: Platform> Task<P> {
    async fn end(self, platform: &P) {
        match self {
            Self::Close(left) => left.close(platform, None).await,
            // Where the store is lost, so is this.
            Self::Charge(charge) => drop(charge.make(platform).await),
            Self::Lead(lead) => {
                // Most requests lead no call, and a call is large.
                let (books, pilot) = Box::pin(lead.fly()).await;
                // Its books come from the call that has just ended.
                let Ok(Self::Close(left)) = books.task.await else { return };
                left.close(platform, Some(pilot)).await;
            }
            Self::Relay(relay, books) => {
                let close = async {
                    // Whoever asked for it first may leave before its end.
                    if let Ok(Self::Close(left)) = books.task.await {
                        left.close(platform, None).await;
                    }
                };
                Box::pin(join(relay.run(), close)).await;
            }
            Self::Session(session) => {
                let books = Box::pin(session.run()).await;
                if let Ok(Self::Close(left)) = books.task.await {
                    left.close(platform, None).await;
                }
            }
            // It is said before anything else, once.
            Self::Hold(..) => {}
        }
    }
}

impl<P: Platform> Left<P> {
    /// Lets go of the pilot of a shared call as soon as its answer is kept.
    async fn close(self, platform: &P, pilot: Option<Pilot>) {
        let (closing, course) = self.wait(platform).await;
        platform.close(closing).await;
        drop(pilot);
        read_on(platform, course).await;
    }

    /// Waits for what the books are still open for. Gives them, and the connection that is read on behind them.
    pub(super) async fn wait(self, platform: &P) -> (Closing, Option<Course<P>>) {
        let Self { mut record, reservation, mut learned, started, prompt_bytes, mut keeping, rest } = self;
        let mut connection = None;
        match rest {
            None => {}
            Some(Rest::Connection(course)) => connection = Some(course),
            Some(Rest::Answer { mut course, caller }) => {
                let ending = read_to_end(&mut course, usize::MAX).await;
                record.usage = course.usage(prompt_bytes);
                course.observer().model().unwrap_or_default().clone_into(&mut record.response_model);
                record.took = platform.now().since(started);
                // A bound of its own says nothing.
                if let Some(ending) = ending {
                    learned.answered(ending, || caller);
                }
                if ending == Some(Ending::Complete) {
                    keeping.entry = entry(&mut course);
                }
            }
            Some(Rest::Flight(witness)) => {
                let end = witness.over().await.filter(|end| end.ending == Ending::Complete);
                keeping = Keeping { entry: end.and_then(|end| end.entry), cache: None, ..keeping };
            }
        }
        (closing(record, reservation, learned, keeping), connection)
    }
}

/// Reads on to the end of an answer that is complete, for the connection's sake.
pub(super) async fn read_on<P: Platform>(platform: &P, course: Option<Course<P>>) {
    let Some(mut course) = course else { return };
    let end = pin!(read_to_end(&mut course, MOST_READ_ON));
    // Out of time, it costs a connection and nothing else.
    let _ = select(end, platform.sleep(READ_ON)).await;
}

/// What was used in the end: what is known of it; nothing, where no upstream gave an answer; and where nothing is
/// known of an answer, the reservation stands.
fn closing(record: Record, reservation: Reservation, learned: Learned, keeping: Keeping) -> Closing {
    let is_free = matches!(record.cache, Some(Status::Hit | Status::Coalesced | Status::Stale));
    let used = match (record.usage.source, record.ending) {
        (Source::Nothing, _) if is_free => Tokens(0),
        (Source::Reported | Source::Counted, _) => Tokens(record.usage.input.0 + record.usage.output.0),
        (Source::Nothing, Ending::Rejected | Ending::Failed) => Tokens(0),
        (Source::Nothing, _) => reservation.want.tokens,
    };
    Closing { record, reservation, used, findings: learned.findings, abandoned: learned.probing, keeping }
}

/// A stream that is complete, as it was recorded.
pub(super) fn entry<P: Platform>(course: &mut Course<P>) -> Option<Arc<Entry>> {
    let body = course.take_recording()?;
    let observer = course.observer();
    let model = observer.model().unwrap_or_default().to_owned();
    let operation = observer.operation();
    Some(Arc::new(Entry { operation, form: Form::Events, content_type: String::new(), model, body }))
}

/// The course bounds each of its waits, and the whole. Gives how it ended, unless that is further than `most`
/// bytes away.
async fn read_to_end<P: Platform>(course: &mut Course<P>, most: usize) -> Option<Ending> {
    let mut read = 0;
    loop {
        match poll_fn(|cx| course.poll_step(cx)).await {
            Step::Bytes { bytes, .. } => read += bytes.len(),
            Step::End { ending, .. } => return Some(ending),
        }
        if read > most {
            return None;
        }
    }
}
