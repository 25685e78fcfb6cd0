//! A response body that is played step by step, faults included.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::wire::ResetSwitch;

/// What a body does next. After the last step it ends cleanly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Let everything sent so far reach the socket.
    Flush,
    /// Reset the connection once everything sent so far has reached the socket.
    Reset,
}

/// The steps of one body, made as they are needed.
pub(crate) struct Steps(Box<dyn Iterator<Item = Step> + Send>);

impl Steps {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Self {
        Self(Box::new(steps.into_iter()))
    }

    #[cfg(test)]
    pub(crate) fn collect(self) -> Vec<Step> {
        self.0.collect()
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}

/// Plays [`Steps`] on one connection.
pub(crate) struct Playback {
    steps: Steps,
    reset: ResetSwitch,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Playback {
    pub(crate) fn new(steps: Steps, reset: ResetSwitch) -> Self {
        Self { steps, reset, pause: None }
    }
}

impl Body for Playback {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.0.next() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(wait)) => self.pause = Some(Box::pin(tokio::time::sleep(wait))),
                // hyper writes what it holds whenever a body has nothing ready.
                Some(Step::Flush) => self.pause = Some(Box::pin(tokio::task::yield_now())),
                Some(Step::Reset) => {
                    self.reset.throw();
                    self.pause = Some(Box::pin(std::future::pending()));
                }
            }
        }
    }
}
