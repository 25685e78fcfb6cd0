//! Resets an HTTP/2 stream whose client takes nothing of its answer.
//!
//! On HTTP/1.1 a client that does not read blocks the socket, and the write's own bound ends it. On HTTP/2 flow
//! control stops its stream while the socket stays writable; then nobody polls the answer, no deadline in it is
//! looked at, and the upstream call would be held for ever. hyper hands each stream to an executor as a future that owns
//! the answer and the stream's sending end: dropped, it resets the stream and lets go of all that was held for it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;

use crate::idle::Request;

/// Bytes that are handed to a stream in one go. Behind its window h2 holds what it was handed, however much it is.
const PART: usize = 16 * 1024;

/// Bytes of a stream that h2 takes ahead of the socket. With a part more no stream buffers above 64 KiB.
pub(crate) const AHEAD: usize = 48 * 1024;

tokio::task_local! {
    static READING: Arc<Reading>;
}

/// How a client gets on with one answer.
#[derive(Debug, Default)]
struct Reading {
    polls: AtomicU64,
    /// The client has been handed something, its head to begin with, and has not come for more.
    is_at_client: AtomicBool,
}

impl Reading {
    /// Returns once the client has left something unread for `patience`, or for up to twice as long.
    async fn stuck(&self, patience: Duration) {
        let mut seen = 0;
        loop {
            tokio::time::sleep(patience).await;
            let polls = self.polls.load(Ordering::Relaxed);
            if self.is_at_client.load(Ordering::Relaxed) && polls == seen {
                return;
            }
            seen = polls;
        }
    }

    fn is_polled(&self) {
        // Streams wrap around long after their clients have.
        self.polls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs the streams of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    pub(crate) patience: Duration,
    /// The process ends: streams are polled once more, so that they end by themselves.
    pub(crate) abort: CancellationToken,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Readers {
    fn execute(&self, stream: F) {
        let (reading, patience, abort) = (Arc::<Reading>::default(), self.patience, self.abort.clone());
        tokio::spawn(READING.scope(Arc::clone(&reading), async move {
            let mut stream = pin!(stream);
            tokio::select! {
                biased;
                () = stream.as_mut() => return,
                () = reading.stuck(patience) => return,
                () = abort.cancelled() => {}
            }
            stream.await;
        }));
    }
}

/// An answer with its request, which is over when the answer is.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: B,
    /// What the body gave and has not gone out.
    rest: Bytes,
    /// Over HTTP/2.
    reading: Option<Arc<Reading>>,
    _request: Request,
}

impl<B: Body<Data = Bytes>> Answer<B> {
    /// Called where hyper polls an HTTP/2 stream, so that it is known which one it is.
    pub(crate) fn new(body: B, request: Request) -> Self {
        let reading = READING.try_with(Arc::clone).ok();
        if let Some(reading) = &reading {
            reading.is_at_client.store(true, Ordering::Relaxed);
        }
        Self { body, rest: Bytes::new(), reading, _request: request }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(reading) = &this.reading else { return Pin::new(&mut this.body).poll_frame(cx) };
        reading.is_polled();
        if this.rest.is_empty() {
            reading.is_at_client.store(false, Ordering::Relaxed);
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()? else {
                return Poll::Ready(None);
            };
            reading.is_at_client.store(true, Ordering::Relaxed);
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let part = this.rest.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;
    use crate::idle::Activity;

    #[tokio::test]
    async fn a_large_chunk_goes_out_in_parts() {
        let bytes = Bytes::from(vec![7; 3 * PART + 5]);
        let request = Arc::new(Activity::new()).begin();
        let mut answer =
            READING.sync_scope(Arc::default(), || Answer::new(Full::new(bytes.clone()), request));
        let mut got = Vec::new();
        while !answer.is_end_stream() {
            assert_eq!(answer.size_hint().exact(), Some((bytes.len() - got.len()) as u64));
            let part = answer.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(part.len() <= PART);
            got.extend_from_slice(&part);
        }
        assert_eq!(got, bytes);
    }

    /// What hyper does: it asks for more when the stream's window has room.
    async fn reads(answers: usize, pause: Duration, patience: Duration) -> usize {
        let (gone, mut over) = tokio::sync::mpsc::unbounded_channel();
        Readers { patience, abort: CancellationToken::new() }.execute(async move {
            let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")));
            let body = StreamBody::new(futures_util::stream::iter((0..answers).map(move |_| chunk())));
            let mut answer = Answer::new(body, Arc::new(Activity::new()).begin());
            loop {
                tokio::time::sleep(pause).await;
                let Some(Ok(_)) = answer.frame().await else { return };
                gone.send(()).unwrap();
            }
        });
        let mut read = 0;
        while over.recv().await.is_some() {
            read += 1;
        }
        read
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_dropped_when_its_client_takes_nothing_and_kept_while_it_takes_something() {
        let second = Duration::from_secs(1);
        assert_eq!(reads(100, second, second * 2).await, 100);
        assert_eq!(reads(100, second * 5, second * 2).await, 0, "not even its first byte");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_upstream_is_kept() {
        let (send, over) = tokio::sync::oneshot::channel();
        let patience = Duration::from_secs(1);
        Readers { patience, abort: CancellationToken::new() }.execute(async move {
            let late = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_mins(1)).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
            });
            let body = StreamBody::new(Box::pin(late));
            let mut answer = Answer::new(body, Arc::new(Activity::new()).begin());
            send.send(answer.frame().await.is_some()).unwrap();
        });
        assert_eq!(over.await, Ok(true));
    }
}
