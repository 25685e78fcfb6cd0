//! A client's request on its way in: in a few pieces, with a poll between them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use weir::wire::upload::Broken;

/// A body. Every other poll brings a piece.
#[derive(Debug)]
pub(crate) struct Upload {
    pieces: VecDeque<Bytes>,
    is_here: bool,
}

impl Upload {
    pub(crate) fn new(body: Bytes) -> Self {
        let (mut first, mut pieces) = (body, VecDeque::new());
        let second = first.split_off(first.len() / 2);
        pieces.extend([first, second].into_iter().filter(|piece| !piece.is_empty()));
        Self { pieces, is_here: false }
    }
}

impl Stream for Upload {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_here = !self.is_here;
        if self.is_here && !self.pieces.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.pieces.pop_front().map(Ok))
    }
}
