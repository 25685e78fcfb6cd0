//! Reading that takes so long that others would wait for it.

use crate::dialect::call::Call;
use crate::platform::Platform;

/// Bytes of a body that are read where its request is served: some ten milliseconds of work. More are read elsewhere, if
/// the shell has an elsewhere.
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
