//! The body of an answer that is shared with others.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::flight::{End, Heard, Listener};
use crate::ledger::Ending;
use crate::platform::Platform;
use crate::settlement::Trail;
use crate::stream::Aborted;

/// A growing answer, read from its beginning.
pub(crate) struct Following<P: Platform> {
    listener: Option<Listener>,
    /// Of a call that shares another's; who asked first has its books with the call itself.
    trail: Option<Trail<P>>,
}

impl<P: Platform> Following<P> {
    pub(crate) fn new(listener: Listener, trail: Option<Trail<P>>) -> Self {
        Self { listener: Some(listener), trail }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.listener.is_none()
    }

    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let Some(listener) = &self.listener else { return Poll::Ready(None) };
        match ready!(listener.poll_next(cx)) {
            Heard::Bytes { bytes, end } => {
                if let Some(trail) = &mut self.trail {
                    trail.sent_first_byte();
                }
                if let Some(end) = end {
                    self.end(end);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Heard::End(End { ending, notice, entry }) => {
                self.end(End { ending, notice: None, entry });
                match notice {
                    Some(notice) => Poll::Ready(Some(Ok(notice))),
                    None if ending == Ending::Complete => Poll::Ready(None),
                    None => Poll::Ready(Some(Err(Aborted))),
                }
            }
        }
    }

    fn end(&mut self, end: End) {
        self.listener = None;
        if let Some(trail) = self.trail.take() {
            trail.followed(end);
        }
    }
}
