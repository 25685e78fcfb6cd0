//! Whether somebody is still there: a client, or whoever began a call.

use std::pin::Pin;
use std::task::{Context, Poll};

use web_sys::AbortSignal;

use crate::ear::Waiting;

/// Resolves when the signal is given. That of a request is its client's leave, and takes the flag
/// `enable_request_signal`.
pub(crate) struct Gone(Waiting);

impl Gone {
    pub(crate) fn by(signal: &AbortSignal) -> Self {
        let waiting = Waiting::new();
        waiting.lend(|who, teller| teller.heed(signal, who));
        Self(waiting)
    }
}

impl Future for Gone {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx).map(drop)
    }
}
