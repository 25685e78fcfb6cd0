//! Bodies as hyper has them and bodies as the core wants them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use weir::wire::upload::{Broken, Payload};

/// A body of hyper's, read as the core reads it: data only; trailers are dropped.
#[derive(Debug)]
pub(crate) struct Chunks<B>(pub(crate) B);

impl<B: Body<Data = Bytes> + Unpin> Stream for Chunks<B> {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(Broken))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

/// What the core sends, as hyper takes it.
#[derive(Debug)]
pub(crate) struct Parcel<U>(pub(crate) Payload<U>);

impl<U: Stream<Item = Result<Bytes, Broken>> + Unpin> Body for Parcel<U> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Payload::Empty => Poll::Ready(None),
            Payload::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Payload::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Payload::Stream(upload) => {
                let next = ready!(Pin::new(upload).poll_next(cx));
                // The client broke off: so must the request to the upstream.
                let broken = |Broken| std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                Poll::Ready(next.map(|chunk| chunk.map(Frame::data).map_err(broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Payload::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Payload::Empty => SizeHint::with_exact(0),
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Stream(_) => SizeHint::default(),
        }
    }
}
