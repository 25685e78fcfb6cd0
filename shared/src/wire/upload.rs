//! The body of a request to an upstream, and how far a client's upload has come on its way through.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::task::AtomicWaker;

/// A body that will not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The body of a request to an upstream.
#[derive(Debug)]
pub enum Payload<U> {
    Empty,
    Whole(Bytes),
    /// Passed on as it comes; it can be sent once.
    Stream(Passing<U>),
}

/// An upload on its way through, watched: a client that breaks off or falls silent is not the upstream's fault.
#[derive(Debug)]
pub struct Passing<U> {
    upload: U,
    progress: Arc<Progress>,
}

/// How far an upload has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    stage: AtomicU8,
    /// Whoever looks at it.
    watcher: AtomicWaker,
}

/// What an upload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upstream takes nothing, whether there is something or not.
    Unread,
    /// The upstream would take more, and the client sends nothing.
    Awaited,
    Complete,
    Broken,
}

impl<U> Passing<U> {
    pub(crate) fn new(upload: U, progress: &Arc<Progress>) -> Self {
        Self { upload, progress: Arc::clone(progress) }
    }
}

impl Progress {
    /// What the upload does, and the bytes that went by.
    pub(crate) fn state(&self) -> (Stage, u64) {
        let stage = match self.stage.load(Ordering::Acquire) {
            0 => Stage::Unread,
            1 => Stage::Awaited,
            2 => Stage::Complete,
            _ => Stage::Broken,
        };
        (stage, self.bytes.load(Ordering::Relaxed))
    }

    /// The upload may be polled by another task than the one that waits for its answer.
    pub(crate) fn wake_at_change(&self, waker: &Waker) {
        self.watcher.register(waker);
    }

    fn is_at(&self, stage: Stage) {
        let number = match stage {
            Stage::Unread => 0,
            Stage::Awaited => 1,
            Stage::Complete => 2,
            Stage::Broken => 3,
        };
        if self.stage.swap(number, Ordering::AcqRel) != number {
            self.watcher.wake();
        }
    }
}

impl<U: Stream<Item = Result<Bytes, Broken>> + Unpin> Stream for Passing<U> {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.upload).poll_next(cx);
        self.progress.is_at(match &next {
            Poll::Pending => Stage::Awaited,
            Poll::Ready(Some(Ok(chunk))) => {
                self.progress.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Stage::Unread
            }
            Poll::Ready(None) => Stage::Complete,
            Poll::Ready(Some(Err(Broken))) => Stage::Broken,
        });
        next
    }
}
