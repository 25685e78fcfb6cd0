//! Bytes that come by a script: a client's upload, an upstream's answer.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use weir::wire::upload::Broken;

use crate::clock::{Clock, Sleep};

/// One thing that happens in a flow.
#[derive(Clone, Debug)]
pub enum Beat {
    Bytes(Bytes),
    /// From when it is asked for.
    Pause(Duration),
    /// It is not here when it is asked for, but at once afterwards: what a transport does that reads its socket
    /// on demand.
    Yield,
}

/// What is behind the last beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    Broken,
    /// Nothing, ever.
    Silent,
}

/// How far a flow has come, for whoever watches it.
#[derive(Debug, Default)]
pub struct Progress {
    state: Cell<State>,
    handed: Cell<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Open,
    /// It was read to its end, good or bad.
    Ended,
    /// It was dropped before its end.
    Cancelled,
}

/// A scripted stream of bytes.
#[derive(Debug)]
pub struct Flow {
    clock: Clock,
    beats: VecDeque<Beat>,
    end: End,
    pause: Option<Sleep>,
    watch: Watch,
}

/// Whoever holds it reads on; dropping it early is a cancellation.
#[derive(Debug, Default)]
pub(crate) struct Watch(pub(crate) Rc<Progress>);

impl Progress {
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Bytes that were read.
    pub fn handed(&self) -> usize {
        self.handed.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.0.state.get() == State::Open {
            self.0.state.set(State::Cancelled);
        }
    }
}

impl Flow {
    pub fn new(clock: &Clock, beats: impl IntoIterator<Item = Beat>, end: End) -> Self {
        Self::watched(clock, beats, end, Watch::default())
    }

    pub(crate) fn watched(
        clock: &Clock,
        beats: impl IntoIterator<Item = Beat>,
        end: End,
        watch: Watch,
    ) -> Self {
        Self { clock: clock.clone(), beats: beats.into_iter().collect(), end, pause: None, watch }
    }
}

impl Stream for Flow {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let progress = &this.watch.0;
        if progress.state.get() == State::Ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(Pin::new(pause).poll(cx));
                this.pause = None;
            }
            match this.beats.pop_front() {
                Some(Beat::Bytes(bytes)) => {
                    progress.handed.set(progress.handed.get() + bytes.len());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Beat::Pause(span)) => this.pause = Some(this.clock.sleep(span)),
                Some(Beat::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => {
                    let last = match this.end {
                        End::Clean => None,
                        End::Broken => Some(Err(Broken)),
                        End::Silent => return Poll::Pending,
                    };
                    progress.state.set(State::Ended);
                    return Poll::Ready(last);
                }
            }
        }
    }
}
