//! Reading that takes so long that others would wait for it.

use bytes::Bytes;

use crate::dialect::call::Call;
use crate::dialect::openai::events::Observer;
use crate::platform::Platform;

/// Bytes of a body or an answer that are read where the request is served: some ten milliseconds of work. More are read
/// elsewhere, if the shell has an elsewhere.
const LARGE: usize = 1 << 20;

/// What `work` makes of a body of so many bytes.
pub(super) async fn computed<P: Platform, T: Send + 'static>(
    platform: &P,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes < LARGE { work() } else { platform.compute(work).await }
}

/// What `work` makes of a call.
pub(super) async fn of_call<P: Platform, T: Send + 'static>(
    platform: &P,
    call: &Call,
    work: fn(&Call) -> T,
) -> T {
    if call.text().len() < LARGE {
        return work(call);
    }
    let call = call.clone();
    platform.compute(move || work(&call)).await
}

/// Whether `observer` sees an answer in `body`.
pub(super) async fn sees_whole<P: Platform>(platform: &P, observer: &mut Observer, body: &Bytes) -> bool {
    if body.len() < LARGE {
        return observer.see_whole(body);
    }
    let (mut elsewhere, body) = (observer.anew(), body.clone());
    let seen = platform.compute(move || (elsewhere.see_whole(&body), elsewhere)).await;
    *observer = seen.1;
    seen.0
}
