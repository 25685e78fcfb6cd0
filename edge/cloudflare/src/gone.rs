//! Whether a client is still there.

use std::future::poll_fn;

use web_sys::AbortSignal;

use crate::ear::Waiting;

/// Resolves when the client of `signal` has left. It takes the flag `enable_request_signal`.
pub(crate) async fn gone(signal: AbortSignal) {
    let waiting = Waiting::new();
    waiting.lend(|who, teller| teller.heed(&signal, who));
    poll_fn(|cx| waiting.poll(cx)).await;
}
