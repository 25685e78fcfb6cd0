//! The body of an answer, and the hand-over of the books when it ends or the client leaves.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::aborted::Aborted;
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::answer_stream::{Course, Step};
use crate::pipeline::reply::keep_alive::KeepAlive;
use crate::pipeline::reply::shared_body::Following;
use crate::platform::Platform;

/// What a shell sends to the client.
pub struct Body<P: Platform>(Content<P>);

enum Content<P: Platform> {
    Whole(Option<Bytes>),
    Flowing(Box<Flowing<P>>),
    Following(Box<Following<P>>),
}

/// An answer on its way, with what was held back until it was worth sending.
struct Flowing<P: Platform> {
    held: VecDeque<Bytes>,
    /// Bytes that are still to come, where the head says how many there are.
    owed: Option<u64>,
    keep_alive: Option<KeepAlive<P>>,
    /// Taken when the answer ends, or by `Drop` when the client leaves.
    open: Option<(Course<P>, Trail<P>)>,
}

impl<P: Platform> fmt::Debug for Body<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Content::Whole(_) => "whole",
            Content::Flowing(_) => "flowing",
            Content::Following(_) => "following",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

impl<P: Platform> Body<P> {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// The length of what is here as a whole; other answers stay what they are.
    pub(crate) fn into_length(self) -> Result<u64, Self> {
        match self.0 {
            Content::Whole(bytes) => Ok(bytes.map_or(0, |bytes| bytes.len() as u64)),
            Content::Flowing(_) | Content::Following(_) => Err(self),
        }
    }

    /// An answer that others read as well.
    pub(crate) fn following(following: Following<P>) -> Self {
        Self(Content::Following(Box::new(following)))
    }

    /// `owed` is the length that the head declares: nobody reads on behind it. `keep_alive` is after how long a
    /// silence of a stream a comment goes out.
    pub(crate) fn flowing(
        held: VecDeque<Bytes>,
        owed: Option<u64>,
        keep_alive: Option<Duration>,
        course: Course<P>,
        trail: Trail<P>,
    ) -> Self {
        if owed == Some(0) {
            trail.answered(Ending::Complete, course);
            return Self::whole(Bytes::new());
        }
        let keep_alive = keep_alive.filter(|_| course.is_events());
        let keep_alive = keep_alive.map(|after| KeepAlive::new(course.platform(), after));
        Self(Content::Flowing(Box::new(Flowing { held, owed, keep_alive, open: Some((course, trail)) })))
    }
}

impl<P: Platform> Flowing<P> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        if let Some(bytes) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(self.hand_out(bytes))));
        }
        let Some((course, _)) = &mut self.open else { return Poll::Ready(None) };
        let step = match (course.poll_step(cx), &mut self.keep_alive) {
            (Poll::Ready(step), _) => step,
            (Poll::Pending, Some(keep_alive)) => return keep_alive.poll(cx).map(|comment| Some(Ok(comment))),
            (Poll::Pending, None) => return Poll::Pending,
        };
        match step {
            Step::Bytes { bytes, .. } => Poll::Ready(Some(Ok(self.hand_out(bytes)))),
            Step::End { ending, notice } => {
                if let Some((course, trail)) = self.open.take() {
                    trail.answered(ending, course);
                }
                match notice {
                    Some(notice) => Poll::Ready(Some(Ok(notice))),
                    None if ending == Ending::Complete => Poll::Ready(None),
                    None => Poll::Ready(Some(Err(Aborted))),
                }
            }
        }
    }

    /// With the last bytes of a complete answer the client has all of it: many close without reading on to the
    /// end, and have not left early.
    fn hand_out(&mut self, bytes: Bytes) -> Bytes {
        let Some((course, trail)) = &mut self.open else { return bytes };
        trail.sent_first_byte();
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.sent(&bytes);
        }
        self.owed = self.owed.map(|owed| owed.saturating_sub(bytes.len() as u64));
        if self.held.is_empty()
            && (self.owed == Some(0) || course.take_completion())
            && let Some((course, trail)) = self.open.take()
        {
            trail.answered(Ending::Complete, course);
        }
        bytes
    }
}

impl<P: Platform> Drop for Flowing<P> {
    fn drop(&mut self) {
        if let Some((course, trail)) = self.open.take() {
            trail.client_left(course);
        }
    }
}

impl<P: Platform> http_body::Body for Body<P> {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.get_mut().0 {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Flowing(flowing) => {
                flowing.poll_bytes(cx).map(|step| step.map(|bytes| bytes.map(Frame::data)))
            }
            Content::Following(following) => {
                following.poll_bytes(cx).map(|step| step.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Flowing(flowing) => flowing.open.is_none() && flowing.held.is_empty(),
            Content::Following(following) => following.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Flowing(_) | Content::Following(_) => SizeHint::default(),
        }
    }
}
