//! Where the runtime comes in. The SDK's macro makes the export of it, and by `unsafe` code.
#![expect(
    unsafe_code,
    clippy::same_length_and_capacity,
    reason = "what the SDK's macro makes is called by the runtime with raw handles"
)]

use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::restless::Restless;
use crate::serve::serve;

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    Restless::new(serve(request, out)).await;
}
