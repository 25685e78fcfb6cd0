//! A body that comes in: a client's upload, an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use spin_sdk::http::{IncomingRequest, IncomingResponse};
use spin_sdk::wit::wasi::http0_2_0::types::IncomingBody;
use wasi::io::streams::{InputStream, StreamError};
use weir::wire::upload::Broken;

use crate::clock::{Wait, wait};

/// Bytes that are read at once at most.
const READ: u64 = 64 * 1024;

/// The order of the fields is the order in which the runtime wants them dropped: a child before its parent.
pub(crate) struct Inflow<O> {
    wait: Option<Wait>,
    stream: Option<InputStream>,
    _body: Option<IncomingBody>,
    /// Dropped, it would end the body.
    _of: O,
}

/// A client's body, as long as its request.
pub(crate) type Upload = Inflow<IncomingRequest>;

impl Upload {
    /// A body that has been taken already is an empty one; nobody takes it but this.
    pub(crate) fn of(request: IncomingRequest) -> Self {
        let body = request.consume().ok();
        let stream = body.as_ref().and_then(|body| body.stream().ok());
        Self { wait: None, stream, _body: body, _of: request }
    }
}

/// Dropped, it ends the call.
pub(crate) type Answer = Inflow<IncomingResponse>;

impl Answer {
    pub(crate) fn of(response: IncomingResponse) -> Self {
        let body = response.consume().ok();
        let stream = body.as_ref().and_then(|body| body.stream().ok());
        Self { wait: None, stream, _body: body, _of: response }
    }
}

impl<O: Unpin> Stream for Inflow<O> {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.wait = None;
        let Some(stream) = &this.stream else { return Poll::Ready(None) };
        let last = match stream.read(READ) {
            Ok(bytes) if bytes.is_empty() => {
                this.wait = Some(wait(stream.subscribe(), cx));
                return Poll::Pending;
            }
            Ok(bytes) => return Poll::Ready(Some(Ok(bytes.into()))),
            Err(StreamError::Closed) => None,
            Err(StreamError::LastOperationFailed(_)) => Some(Err(Broken)),
        };
        this.stream = None;
        Poll::Ready(last)
    }
}
