//! What the platform calls.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, Response};
use weir::METRICS;
use weir::refusal::Refusal;
use weir::telemetry::metrics::{Family, Sink as _};
use worker::{Context, Env, worker_sys};

use crate::gone::Gone;
use crate::incoming::Incoming;
use crate::isolate::Isolate;
use crate::platform::{self, Edge};
use crate::{answer, head, js, log, task};

/// Called as `#[event(fetch)]` would be, but begun at once, and on tasks of our own.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "JavaScript reaches it")]
pub fn fetch(request: Request, env: Env, context: worker_sys::Context) -> Promise {
    task::promise(async move {
        let answer = serve(&request, &env, Context::new(context)).await;
        answer.or_else(|_| refused(&Refusal::Internal)).map(JsValue::from)
    })
}

async fn serve(request: &Request, env: &Env, context: Context) -> Result<Response, JsValue> {
    let isolate = Isolate::here();
    let Some(mut parts) = head::parse_request(&js::request_head(request)) else {
        return refused(&Refusal::Ambiguous { problem: "a path that is none" });
    };
    let config = match isolate.config(env).await {
        Ok(config) => config,
        Err(why) => {
            log::unconfigured(&why);
            return whole(weir::unconfigured(parts.uri.path()));
        }
    };
    let edge = Edge::new(Rc::clone(&isolate), Arc::clone(&config), env, context);
    if isolate.is_due(env) {
        let (isolate, env) = (Rc::clone(&isolate), env.clone());
        edge.outlive(async move { isolate.look(&env).await });
    }
    let upload = Incoming::of_request(request, &parts.headers);
    platform::introduce(&mut parts);
    let gauge = (parts.uri.path() != METRICS).then(|| InFlight::of(&isolate));
    let (answer, settlement) = weir::handle(&edge, config, http::Request::from_parts(parts, upload));
    // It outlives a client that leaves, by as much as the platform allows.
    edge.outlive(async move {
        let _gauge = gauge;
        settlement.run().await;
    });
    match select(pin!(answer), Gone::by(&request.signal())).await {
        Either::Left((answer, gone)) => answer::print(answer, gone),
        // Nobody reads it. The answer's future is dropped, which is how the core learns that the client has
        // left.
        Either::Right(_) => refused(&Refusal::Internal),
    }
}

/// Counts a request until its books are closed.
struct InFlight(Rc<Isolate>);

impl InFlight {
    fn of(isolate: &Rc<Isolate>) -> Self {
        isolate.metrics.borrow_mut().shift(Family::InFlight, &[], 1);
        Self(Rc::clone(isolate))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.borrow_mut().shift(Family::InFlight, &[], -1);
    }
}

fn refused(refusal: &Refusal) -> Result<Response, JsValue> {
    let mut response = http::Response::new(refusal.to_body());
    *response.status_mut() = refusal.status();
    *response.headers_mut() = refusal.headers();
    whole(response)
}

/// An answer that is not of the pipeline's making.
fn whole(response: http::Response<Bytes>) -> Result<Response, JsValue> {
    let (parts, body) = response.into_parts();
    let body = Uint8Array::from(&*body);
    js::answer(parts.status.as_u16(), &head::print_headers(&parts.headers), &body.into())
}
