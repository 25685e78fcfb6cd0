//! What a thread of the native gateway does with its connections: one set of upstream connections, no hand-over
//! in between.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;
use weir::refusal::Refusal;
use weir::telemetry::metrics::Family;

use crate::body::Chunks;
use crate::connections::{self, Arrivals, Ending, Patience};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::native::Native;

/// What a worker's requests share.
#[derive(Clone)]
struct Desk {
    native: Native,
    live: Arc<Live>,
    settlements: TaskTracker,
}

/// Serves what comes in until it is told to stop and all is finished, or to abort.
pub(crate) async fn work(native: Native, live: Arc<Live>, arrivals: Arrivals, ending: Ending) {
    native.connect().await;
    let settlements = TaskTracker::new();
    let desk = Desk { native, live: Arc::clone(&live), settlements: settlements.clone() };
    let router = Router::new().fallback(gateway).with_state(desk);
    let patience = move || Patience::of(&live.config().server);
    connections::serve(arrivals, router, patience, settlements, ending).await;
}

async fn gateway(State(desk): State<Desk>, request: Request) -> Result<Response, Infallible> {
    let gauge = (request.uri().path() != weir::METRICS).then(|| InFlight::new(&desk.native));
    let config = desk.live.config();
    let (answer, settlement) = weir::handle(&desk.native, config, request.map(Chunks));
    desk.settlements.spawn(async move {
        let _gauge = gauge;
        settlement.run().await;
    });
    // A panic hurts this request and no other.
    // Boxed, it is moved once and not by every layer around it.
    let answer = AssertUnwindSafe(Box::pin(answer)).catch_unwind().await;
    let Ok(answer) = answer else { return Ok(internal_error()) };
    Ok(answer.map(axum::body::Body::new))
}

/// Counts a request until its books are closed.
struct InFlight(Metrics);

impl InFlight {
    fn new(native: &Native) -> Self {
        let metrics = native.process.metrics.clone();
        metrics.shift(Family::InFlight, &[], 1);
        Self(metrics)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shift(Family::InFlight, &[], -1);
    }
}

fn internal_error() -> Response {
    let refusal = Refusal::Internal;
    (refusal.status(), refusal.headers(), refusal.to_body()).into_response()
}
