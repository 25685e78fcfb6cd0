//! Gives up on an HTTP/2 client that takes nothing of its answer.
//!
//! On HTTP/1.1 a client that does not read blocks the socket, and the write's own bound ends it. On HTTP/2 flow
//! control stops its stream while the socket stays writable; then nobody polls the answer, no deadline in it is
//! looked at, and the upstream call would be held for ever. So somebody else watches.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use weir::Aborted;

/// An answer that its client must keep reading.
#[derive(Debug)]
pub(crate) struct Read<B>(Arc<Mutex<Answer<B>>>);

#[derive(Debug)]
struct Answer<B> {
    /// Taken when the client is given up.
    body: Option<B>,
    polls: u64,
    /// The client has been handed bytes and has not come for more.
    is_at_client: bool,
}

/// Watches `body` until it ends or its client has left bytes unread for `patience`.
pub(crate) fn watched<B: Send + 'static>(body: B, patience: Duration) -> Read<B> {
    let answer = Arc::new(Mutex::new(Answer { body: Some(body), polls: 0, is_at_client: false }));
    let watched = Arc::downgrade(&answer);
    tokio::spawn(async move {
        let mut seen = 0;
        loop {
            tokio::time::sleep(patience).await;
            let Some(answer) = watched.upgrade() else { return };
            let given_up = {
                let mut answer = lock(&answer);
                let is_stuck = answer.is_at_client && answer.polls == seen;
                seen = answer.polls;
                if is_stuck { answer.body.take() } else { None }
            };
            // Dropped outside the lock: it closes the books.
            if given_up.is_some() {
                return;
            }
        }
    });
    Read(answer)
}

fn lock<B>(answer: &Mutex<Answer<B>>) -> MutexGuard<'_, Answer<B>> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body<Data = Bytes, Error = Aborted> + Unpin> Body for Read<B> {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut answer = lock(&self.0);
        answer.polls += 1;
        let Some(body) = &mut answer.body else { return Poll::Ready(Some(Err(Aborted))) };
        let polled = Pin::new(body).poll_frame(cx);
        answer.is_at_client = matches!(polled, Poll::Ready(Some(_)));
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
