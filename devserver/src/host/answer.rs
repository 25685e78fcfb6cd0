//! An answer on its way to the client, which knows whether its author has finished it.
//!
//! When an instance ends, wasmtime ends the body that it was writing, and a body that was cut off then looks like one
//! that is whole. So the end of the instance is told here first: what was not finished by then is aborted, and the
//! client sees a broken connection instead of a shorter answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use weir::Aborted;

/// The client's side. Dropped, it tells the instance at its next write that nobody reads any more, as Spin does.
#[derive(Debug)]
pub(super) struct Answer<B: Body>(Arc<Mutex<Wire<B>>>);

/// The instance's side.
#[derive(Debug)]
pub(super) struct Author<B: Body>(Arc<Mutex<Wire<B>>>);

struct Wire<B: Body> {
    /// While the instance may write. `None` also when nobody reads.
    body: Option<B>,
    /// What was written at the end of the instance and not yet read: no more than the channel between them holds.
    left: VecDeque<Frame<B::Data>>,
    end: End,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Whole,
    Cut,
}

impl<B: Body> std::fmt::Debug for Wire<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("left", &self.left.len()).field("end", &self.end).finish_non_exhaustive()
    }
}

/// Both sides of `body`.
pub(super) fn split<B: Body>(body: B) -> (Author<B>, Answer<B>) {
    let wire = Wire { body: Some(body), left: VecDeque::new(), end: End::Open, reader: None };
    let wire = Arc::new(Mutex::new(wire));
    (Author(Arc::clone(&wire)), Answer(wire))
}

fn lock<B: Body>(wire: &Mutex<Wire<B>>) -> MutexGuard<'_, Wire<B>> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body + Unpin> Wire<B> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<B::Data>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(frame)),
            Poll::Ready(ended) => {
                self.end = if ended.is_some() { End::Cut } else { End::Whole };
                self.body = None;
                Poll::Ready(None)
            }
        }
    }
}

impl<B: Body + Unpin> Author<B> {
    /// The instance is about to go: whatever it has not finished is cut off.
    pub(super) fn leave(self) {
        let mut wire = lock(&self.0);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match wire.poll_body(&mut cx) {
                Poll::Ready(Some(frame)) => wire.left.push_back(frame),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    wire.end = End::Cut;
                    wire.body = None;
                    break;
                }
            }
        }
        if let Some(reader) = wire.reader.take() {
            reader.wake();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut wire = lock(&self.0);
        if let Some(frame) = wire.left.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match wire.poll_body(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) if wire.end == End::Cut => {
                // Once is enough.
                wire.end = End::Whole;
                Poll::Ready(Some(Err(Aborted)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                wire.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<B: Body> Drop for Answer<B> {
    fn drop(&mut self) {
        let mut wire = lock(&self.0);
        let body = wire.body.take();
        wire.left.clear();
        drop(wire);
        // Outside the lock: it wakes the instance.
        drop(body);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Sender = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

    fn frames() -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::iter(["a", "b"]).map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    /// The text that a client reads, and whether it was told that there is no more.
    async fn read(answer: Answer<StreamBody<Sender>>) -> (String, Result<(), Aborted>) {
        let mut answer = answer;
        let mut text = String::new();
        while let Some(next) = answer.frame().await {
            match next {
                Ok(frame) => text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap()),
                Err(aborted) => return (text, Err(aborted)),
            }
        }
        (text, Ok(()))
    }

    #[tokio::test]
    async fn an_answer_is_whole_only_if_it_was_finished_before_its_author_went() {
        let finished = || frames().boxed();
        let unfinished = || frames().chain(stream::pending()).boxed();
        for (written, is_whole) in [(finished(), true), (unfinished(), false)] {
            let (author, answer) = split(StreamBody::new(written));
            author.leave();
            let (text, end) = read(answer).await;
            assert_eq!((text.as_str(), end.is_ok()), ("ab", is_whole));
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_told_of_the_cut() {
        let (author, answer) = split(StreamBody::new(stream::pending().boxed()));
        let reading = tokio::spawn(read(answer));
        tokio::task::yield_now().await;
        author.leave();
        let (text, end) = reading.await.unwrap();
        assert_eq!((text.as_str(), end.is_err()), ("", true));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_drops_the_body() {
        let alive = Arc::new(());
        let watched = Arc::clone(&alive);
        let body: Sender = stream::pending().inspect(move |_| drop(Arc::clone(&watched))).boxed();
        let (_author, answer) = split(StreamBody::new(body));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(answer);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
