//! The body of an answer that is shared with others.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::aborted::Aborted;
use crate::cache::in_flight::{End, Heard, Listener};
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::reply::keep_alive::KeepAlive;
use crate::platform::Platform;

/// A growing answer, read from its beginning.
pub(crate) struct Following<P: Platform> {
    listener: Option<Listener>,
    /// Of a call that shares another's; who asked first has its books with the call itself.
    trail: Option<Trail<P>>,
    keep_alive: Option<KeepAlive<P>>,
}

impl<P: Platform> Following<P> {
    pub(crate) fn new(listener: Listener, trail: Option<Trail<P>>, keep_alive: Option<KeepAlive<P>>) -> Self {
        Self { listener: Some(listener), trail, keep_alive }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.listener.is_none()
    }

    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let Some(listener) = &self.listener else { return Poll::Ready(None) };
        let heard = match (listener.poll_next(cx), &mut self.keep_alive) {
            (Poll::Ready(heard), _) => heard,
            (Poll::Pending, Some(keep_alive)) => return keep_alive.poll(cx).map(|comment| Some(Ok(comment))),
            (Poll::Pending, None) => return Poll::Pending,
        };
        match heard {
            Heard::Bytes { bytes, end } => {
                if let Some(keep_alive) = &mut self.keep_alive {
                    keep_alive.sent(&bytes);
                }
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
