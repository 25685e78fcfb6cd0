//! An upstream's answer to an understood call, from its head to what may go to the client: what it is, by its first
//! bytes, and in which form it is wanted.

use std::collections::VecDeque;
use std::future::poll_fn;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, header, response};

use crate::dialect::endpoint::Operation;
use crate::dialect::openai::replay::{self, UsageChunk};
use crate::ledger::record::Ending;
use crate::pipeline::answer_stream::opening::Opening;
use crate::pipeline::answer_stream::websocket::Open;
use crate::pipeline::answer_stream::{Course, Reading, Step};
use crate::pipeline::attempt::failure::Failure;
use crate::pipeline::heavy;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::wire::headers::{self, Returned};

/// Bytes of a stream that are held back at most until its first content.
const HELD_BACK: usize = 64 * 1024;

/// Bytes of a JSON answer that are read before it goes on; a longer one goes on as it comes.
const HELD_WHOLE: usize = 16 << 20;

/// An answer that may go to the client.
pub(crate) enum Answer<P: Platform> {
    Whole {
        head: response::Parts,
        bytes: Bytes,
        /// The upstream's whole answer, where `bytes` are the events of it.
        untold: Option<Bytes>,
        course: Box<Course<P>>,
    },
    Flowing {
        head: response::Parts,
        held: VecDeque<Bytes>,
        course: Box<Course<P>>,
    },
    /// A websocket is open.
    Switched {
        head: response::Parts,
        open: Box<Open<P>>,
    },
}

/// How an answer is wanted.
pub(crate) struct Wanted<'a, S> {
    pub(crate) operation: Operation,
    /// As events, or as a whole.
    pub(crate) is_stream: bool,
    /// How events are read.
    pub(crate) events: Reading,
    pub(crate) usage: UsageChunk,
    /// Bytes of a stream that are kept.
    pub(crate) most_kept: u64,
    /// Ends when a stream is held back no longer.
    pub(crate) hold_back: S,
    pub(crate) returned: Returned<'a>,
    /// Its first event is waited for however long it takes: it names what was made.
    pub(crate) waits_for_first: bool,
}

/// Reads as much of an answer as has to be known before it goes to the client. `course` reads bytes.
pub(crate) async fn receive<P: Platform>(
    platform: &P,
    head: response::Parts,
    mut course: Course<P>,
    mut wanted: Wanted<'_, P::Sleep>,
) -> Result<Answer<P>, Failure> {
    let label = headers::media_type(&head.headers);
    let is_labelled_events = label.as_deref() == Some("text/event-stream");
    let opening = if is_encoded(&head) {
        // Nobody asked for a coding, and its bytes say nothing.
        match label.as_deref() {
            Some("text/event-stream") => Opening::Events,
            Some(kind) if is_json(kind) => Opening::Json,
            Some(_) | None => Opening::Other,
        }
    } else if wanted.is_stream && is_labelled_events && !wanted.waits_for_first {
        match select(poll_fn(|cx| course.poll_opening(cx)), &mut wanted.hold_back).await {
            Either::Left((opening, _)) => {
                opening.map_err(|ending| Failure::ended(&head, ending, &mut course))?
            }
            Either::Right(((), _)) => {
                course.read_as(wanted.events);
                if wanted.most_kept > 0 {
                    course.record(wanted.most_kept);
                }
                return Ok(flowing(head, VecDeque::new(), course, wanted.returned));
            }
        }
    } else {
        let opening = poll_fn(|cx| course.poll_opening(cx)).await;
        opening.map_err(|ending| Failure::ended(&head, ending, &mut course))?
    };
    match (opening, wanted.is_stream) {
        (Opening::Events, true) => {
            course.read_as(wanted.events);
            begin_stream(head, course, wanted).await
        }
        (Opening::Events, false) if wanted.operation != Operation::Embeddings => {
            course.read_as(wanted.events);
            gather(head, course, &wanted).await
        }
        (Opening::Json, false) => read_whole(platform, head, course, &wanted).await,
        (Opening::Json, true) => tell(read_whole(platform, head, course, &wanted).await?, &wanted),
        (Opening::Nothing, true) if is_labelled_events => {
            Err(Failure::ended(&head, Ending::Truncated, &mut course))
        }
        (Opening::Nothing | Opening::Other | Opening::Events, _) => {
            Err(Failure::bad_answer(&head, "it sent no answer of this API"))
        }
    }
}

/// Holds a stream back until its first content: until then it can fail over unseen. But not for long: whoever
/// waits, and whatever stands in between, has to see that something comes.
async fn begin_stream<P: Platform>(
    head: response::Parts,
    mut course: Course<P>,
    mut wanted: Wanted<'_, P::Sleep>,
) -> Result<Answer<P>, Failure> {
    if wanted.most_kept > 0 {
        course.record(wanted.most_kept);
    }
    let (mut held, mut size) = (VecDeque::new(), 0);
    loop {
        if wanted.waits_for_first && size == 0 {
            match poll_fn(|cx| course.poll_step(cx)).await {
                Step::Bytes { bytes, is_content } => {
                    size += bytes.len();
                    held.push_back(bytes);
                    if is_content || size > HELD_BACK {
                        return Ok(flowing(head, held, course, wanted.returned));
                    }
                }
                Step::End { ending, .. } => return Err(Failure::ended(&head, ending, &mut course)),
            }
            continue;
        }
        match select(poll_fn(|cx| course.poll_step(cx)), &mut wanted.hold_back).await {
            Either::Left((Step::Bytes { bytes, is_content }, _)) => {
                size += bytes.len();
                held.push_back(bytes);
                if is_content || size > HELD_BACK {
                    return Ok(flowing(head, held, course, wanted.returned));
                }
            }
            Either::Left((Step::End { ending, .. }, _)) => {
                return Err(Failure::ended(&head, ending, &mut course));
            }
            Either::Right(((), _)) => return Ok(flowing(head, held, course, wanted.returned)),
        }
    }
}

fn flowing<P: Platform>(
    head: response::Parts,
    held: VecDeque<Bytes>,
    course: Course<P>,
    returned: Returned<'_>,
) -> Answer<P> {
    Answer::Flowing { head: told_as_events(dressed(head, returned)), held, course: Box::new(course) }
}

async fn read_whole<P: Platform>(
    platform: &P,
    head: response::Parts,
    mut course: Course<P>,
    wanted: &Wanted<'_, P::Sleep>,
) -> Result<Answer<P>, Failure> {
    let (mut held, mut size) = (VecDeque::new(), 0);
    loop {
        match poll_fn(|cx| course.poll_step(cx)).await {
            Step::Bytes { bytes, .. } => {
                size += bytes.len();
                held.push_back(bytes);
                if size > HELD_WHOLE {
                    let head = told_as_json(dressed(head, wanted.returned));
                    return Ok(Answer::Flowing { head, held, course: Box::new(course) });
                }
            }
            Step::End { ending: Ending::Complete, .. } => break,
            Step::End { ending, .. } => return Err(Failure::ended(&head, ending, &mut course)),
        }
    }
    let bytes = match held.len() {
        1 => held.pop_front().unwrap_or_default(),
        _ => held.into_iter().collect::<Vec<_>>().concat().into(),
    };
    // What cannot be read cannot be told from an error, and goes on as it is.
    if !is_encoded(&head) && !heavy::sees_whole(platform, course.observer(), &bytes).await {
        let problem = match wanted.operation {
            Operation::Embeddings => "it sent no embeddings",
            Operation::Chat | Operation::Completions | Operation::Responses => "it sent no completion",
        };
        return Err(Failure::instead_of_answer(&head, &bytes, course.secret(), problem));
    }
    let mut head = told_as_json(dressed(head, wanted.returned));
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Answer::Whole { head, bytes, untold: None, course: Box::new(course) })
}

/// A whole answer for whoever wants events.
fn tell<P: Platform>(answer: Answer<P>, wanted: &Wanted<'_, P::Sleep>) -> Result<Answer<P>, Failure> {
    match answer {
        Answer::Whole { head, bytes, course, .. } => {
            let Some(events) = replay::to_events(wanted.operation, &bytes, wanted.usage) else {
                return Err(Failure::bad_answer(
                    &head,
                    "it sent a whole answer that cannot be told as a stream",
                ));
            };
            Ok(Answer::Whole { head: told_as_events(head), bytes: events, untold: Some(bytes), course })
        }
        // None of this is asked of a websocket.
        Answer::Flowing { head, .. } | Answer::Switched { head, .. } => Err(too_large(&head)),
    }
}

/// Events for whoever wants a whole answer: read to their end, and put together.
async fn gather<P: Platform>(
    head: response::Parts,
    mut course: Course<P>,
    wanted: &Wanted<'_, P::Sleep>,
) -> Result<Answer<P>, Failure> {
    course.record(HELD_WHOLE as u64);
    let mut size = 0;
    loop {
        match poll_fn(|cx| course.poll_step(cx)).await {
            Step::Bytes { bytes, .. } => {
                size += bytes.len();
                if size > HELD_WHOLE {
                    return Err(too_large(&head));
                }
            }
            Step::End { ending: Ending::Complete, .. } => break,
            Step::End { ending, .. } => return Err(Failure::ended(&head, ending, &mut course)),
        }
    }
    let events = course.take_recording();
    let Some(whole) = events.and_then(|events| replay::to_whole(wanted.operation, &events)) else {
        return Err(Failure::bad_answer(&head, "it sent a stream that cannot be told as a whole answer"));
    };
    course.observer().note_gathered();
    let mut head = told_as_json(dressed(head, wanted.returned));
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Answer::Whole { head, bytes: whole, untold: None, course: Box::new(course) })
}

fn too_large(head: &response::Parts) -> Failure {
    let what = "it has another form than was asked for, and is too long to be put into that one";
    Failure::bound(head, Ending::Failed, Refusal::AnswerTooLarge { what })
}

/// As [`told_as_json`], of events.
fn told_as_events(mut head: response::Parts) -> response::Parts {
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    head.headers.insert(header::CONTENT_TYPE, kind);
    head.headers.remove(header::CONTENT_LENGTH);
    head
}

/// With the label that is right; one that is stays as it is.
fn told_as_json(mut head: response::Parts) -> response::Parts {
    let is_right = headers::media_type(&head.headers).is_some_and(|kind| is_json(&kind));
    if !is_right {
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    head
}

/// An upstream's head as it goes to the client.
pub(crate) fn dressed(mut head: response::Parts, returned: Returned<'_>) -> response::Parts {
    head.headers = returned.toward_client(&head.headers);
    head.version = http::Version::HTTP_11;
    head
}

/// Whether it has a content coding.
pub(crate) fn is_encoded(head: &response::Parts) -> bool {
    head.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity")
}

pub(crate) fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}
