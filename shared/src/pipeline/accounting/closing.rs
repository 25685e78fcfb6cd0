//! The closing of a request's books: what they are still open for, and what the store is told.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;

use super::learned::Learned;
use super::task::{Left, Rest};
use crate::cache::Entry;
use crate::cache::in_flight::Pilot;
use crate::dialect::endpoint::Form;
use crate::ledger::cache_status::Status;
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::{Source, Tokens};
use crate::pipeline::answer_stream::{Course, Step};
use crate::platform::Platform;
use crate::store::protocol::{Closing, Keeping, Reservation};

/// How long a connection is read on for its end, so that it can be used again.
const READ_ON: Duration = Duration::from_secs(1);

/// Bytes that are read on at most: who sends more behind its terminator does not want to end.
const MOST_READ_ON: usize = 64 * 1024;

impl<P: Platform> Left<P> {
    /// Lets go of the pilot of a shared call as soon as its answer is kept.
    pub(in crate::pipeline) async fn close(self, platform: &P, pilot: Option<Pilot>) {
        let (closing, course) = self.wait(platform).await;
        platform.close(closing).await;
        drop(pilot);
        read_on(platform, course).await;
    }

    /// Waits for what the books are still open for. Gives them, and the connection that is read on behind them.
    pub(in crate::pipeline) async fn wait(self, platform: &P) -> (Closing, Option<Course<P>>) {
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
pub(in crate::pipeline) async fn read_on<P: Platform>(platform: &P, course: Option<Course<P>>) {
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
pub(in crate::pipeline) fn entry<P: Platform>(course: &mut Course<P>) -> Option<Arc<Entry>> {
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
