//! A call that several may listen to: made by the settlement of whoever asked first, told to all.

use std::future::poll_fn;
use std::pin::pin;

use futures_util::future::{Either, select};
use http::Method;

use crate::cache::in_flight::{Ear, End, Head, Pilot};
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::accounting::task::{Lead, Settlement, Task};
use crate::pipeline::answer_stream::{Course, Step};
use crate::pipeline::attempt::answer::Answer;
use crate::pipeline::delivery::owed;
use crate::pipeline::failover::{Attempts, Rules, Unanswered};
use crate::platform::Platform;

impl<P: Platform> Lead<P> {
    /// Where to listen to it from elsewhere than a client's place.
    pub(crate) fn ear(&self) -> Ear {
        self.pilot.ear()
    }

    /// Makes the call. Gives the books of whoever asked first; by then they have been handed over.
    /// The pilot goes once they are closed.
    pub(crate) async fn fly(self) -> (Settlement<P>, Pilot) {
        let Self { platform, config, trace, started, priority, mut explanation, .. } = self;
        let Self { route, plan, sent, mut trail, pilot, books, .. } = self;
        let rules = Rules::of(&config.routes[route]);
        let outcome = {
            let mut attempts = Attempts {
                platform: &platform,
                config: &config,
                trace: &trace,
                started,
                priority,
                explanation: &mut explanation,
            };
            let made = pin!(attempts.make(&rules, &plan, sent, &mut trail));
            match select(made, poll_fn(|cx| pilot.poll_deserted(cx))).await {
                Either::Left((outcome, _)) => Some(outcome),
                Either::Right(_) => None,
            }
        };
        match outcome {
            // Nobody wants it any more; what the trail says as it is dropped is just that. Calls that are shared open no
            // websocket.
            None | Some(Ok(Answer::Switched { .. })) => drop(trail),
            Some(Err(Unanswered { refusal, ending })) => {
                trail.unanswered(ending, &refusal);
                pilot.fail(refusal, explanation);
            }
            Some(Ok(Answer::Whole { head, bytes, untold, mut course })) => {
                trail.note_usage(&mut course);
                trail.sent_first_byte();
                let entry = trail.keep_whole(&mut course, &head, &bytes, untold.as_ref());
                drop(course);
                let ending = if pilot.is_left_by_first() { Ending::ClientGone } else { Ending::Complete };
                trail.ended(ending, head.status.as_u16());
                let (status, headers) = (head.status, head.headers);
                let end = End { ending: Ending::Complete, notice: None, entry };
                pilot.answer(Head { status, headers, whole: Some(bytes), explanation }, end);
            }
            Some(Ok(Answer::Flowing { head, held, course })) => {
                trail.answers(head.status);
                let owed = owed(&head, &Method::POST);
                let (status, headers) = (head.status, head.headers);
                pilot.begin(Head { status, headers, whole: None, explanation });
                relay(held.into(), owed, course, trail, &pilot).await;
            }
        }
        (books, pilot)
    }
}

/// Has the settlement make the call; the books of `trail` are closed behind it.
pub(super) fn lead<P: Platform>(mut trail: Trail<P>, lead: impl FnOnce(Trail<P>, Settlement<P>) -> Lead<P>) {
    let Some((send, books)) = trail.nest() else { return };
    // If nobody runs it, whoever listens hears of an error.
    let _ = send.send(Task::Lead(Box::new(lead(trail, books))));
}

/// Tells what comes to all who listen, until it ends or nobody does.
async fn relay<P: Platform>(
    mut held: Vec<bytes::Bytes>,
    mut owed: Option<u64>,
    mut course: Box<Course<P>>,
    mut trail: Trail<P>,
    pilot: &Pilot,
) {
    held.reverse();
    loop {
        let bytes = match held.pop() {
            Some(bytes) => bytes,
            None => match next(&mut course, pilot).await {
                None => return trail.client_left(*course),
                Some(Step::Bytes { bytes, .. }) => bytes,
                Some(Step::End { ending, notice }) => {
                    let entry = if ending == Ending::Complete { trail.keep(&mut course) } else { None };
                    return end(*course, trail, pilot, None, End { ending, notice, entry });
                }
            },
        };
        trail.sent_first_byte();
        owed = owed.map(|owed| owed.saturating_sub(bytes.len() as u64));
        if held.is_empty() && (owed == Some(0) || course.take_completion()) {
            let entry = trail.keep(&mut course);
            let complete = End { ending: Ending::Complete, notice: None, entry };
            return end(*course, trail, pilot, Some(&bytes), complete);
        }
        pilot.give(&bytes);
    }
}

/// The books say how the client of the first call fared.
fn end<P: Platform>(course: Course<P>, mut trail: Trail<P>, pilot: &Pilot, last: Option<&[u8]>, end: End) {
    let is_left = pilot.is_left_by_first() && end.ending == Ending::Complete;
    if is_left {
        trail.completes();
    }
    trail.answered(if is_left { Ending::ClientGone } else { end.ending }, course);
    pilot.end(last, end);
}

/// The next step of the answer, once there is room for it; `None` when nobody listens any more.
async fn next<P: Platform>(course: &mut Course<P>, pilot: &Pilot) -> Option<Step> {
    let step = poll_fn(|cx| {
        if pilot.poll_room(cx).is_pending() { std::task::Poll::Pending } else { course.poll_step(cx) }
    });
    match select(pin!(step), poll_fn(|cx| pilot.poll_deserted(cx))).await {
        Either::Left((step, _)) => Some(step),
        Either::Right(_) => None,
    }
}
