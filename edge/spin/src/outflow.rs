//! A body that goes out: an answer to a client, a request to an upstream.

use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use spin_sdk::wit::wasi::http0_2_0::types::OutgoingBody;
use wasi::io::streams::{OutputStream, StreamError};

use crate::clock::{Wait, wait};

/// Dropped before it is finished, the connection is cut. The order of the fields is the order in which the runtime
/// wants them dropped: a child before its parent.
pub(crate) struct Outflow {
    wait: Option<Wait>,
    stream: OutputStream,
    body: OutgoingBody,
}

/// Nobody takes it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Outflow {
    /// `None` where the body has been taken already.
    pub(crate) fn of(body: OutgoingBody) -> Option<Self> {
        let stream = body.write().ok()?;
        Some(Self { wait: None, stream, body })
    }

    /// Writes what is taken of `bytes` at once, and leaves the rest in it.
    pub(crate) fn offer(&mut self, bytes: &mut Bytes) -> Result<(), Gone> {
        self.wait = None;
        while !bytes.is_empty() {
            let room = match self.stream.check_write() {
                Ok(0) => return Ok(()),
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()),
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return Err(Gone),
            };
            let part = bytes.get(..room).unwrap_or_default();
            self.stream.write(part).map_err(|_| Gone)?;
            bytes.advance(room);
        }
        self.stream.flush().map_err(|_| Gone)
    }

    /// Writes all of `bytes`.
    pub(crate) fn poll_write(&mut self, bytes: &mut Bytes, cx: &Context<'_>) -> Poll<Result<(), Gone>> {
        self.offer(bytes)?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.wait = Some(wait(self.stream.subscribe(), cx));
        Poll::Pending
    }

    /// Ends the body where it should end.
    pub(crate) fn finish(self) {
        let Self { wait, stream, body } = self;
        drop(wait);
        drop(stream);
        // It fails where fewer bytes were written than were promised, and the connection is cut then.
        let _ = OutgoingBody::finish(body, None);
    }
}
