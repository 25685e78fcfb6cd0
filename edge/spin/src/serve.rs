//! A request, from when the runtime hands it over until its books are closed.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, join, select};
use http::{Method, Response};
use http_body::Body as _;
use spin_sdk::http::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};
use spin_sdk::wit::wasi::http0_2_0::types::Method as WasiMethod;
use weir::refusal::Refusal;
use weir::{Aborted, Body};

use crate::clock::Sleep;
use crate::document;
use crate::head::{self, Line};
use crate::inflow::Upload;
use crate::log;
use crate::outflow::{Gone, Outflow};
use crate::shell::Shell;
use crate::store::Store;
use crate::variables::Application;

/// Asked for now and then by whoever watches the gateway.
const READY: &str = "/ready";

/// Bytes of an answer that are written together at most, where they are there together.
const BATCH: usize = 64 * 1024;

/// For a client to take an answer that was made without a configuration.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn serve(request: IncomingRequest, out: ResponseOutparam) {
    let line = Line {
        method: method(request.method()),
        path_with_query: request.path_with_query(),
        authority: request.authority(),
    };
    let Some(parts) = head::request(line, request.headers().entries()) else {
        return refuse(&Refusal::Ambiguous { problem: "a path that is none" }, out).await;
    };
    let loaded = match document::load(&Application) {
        Ok(loaded) => loaded,
        Err(why) => {
            log::unconfigured(&why);
            return whole(weir::unconfigured(parts.uri.path()), out).await;
        }
    };
    // An instance that begins with every request would say them with every request.
    if parts.uri.path() == READY {
        loaded.warnings.iter().for_each(|warning| log::warning(warning));
    }
    let patience = loaded.config.server.body_timeout;
    let shell = Shell::new(Store::new(&loaded.redis, loaded.config.store.cache));
    let request = http::Request::from_parts(parts, Upload::of(request));
    let (answer, settlement) = weir::handle(&shell, Arc::new(loaded.config), request);
    let answering = async {
        let (parts, body) = answer.await.into_parts();
        let length = body.size_hint().exact();
        if let Some(outflow) = begin(&Response::from_parts(parts, ()), length, out) {
            carry(body, outflow, patience).await;
        }
    };
    // A call and its books are large, and everything around would move them.
    Box::pin(join(answering, settlement.run())).await;
    shell.finish().await;
}

/// Hands the head to the runtime; gives where the body goes. `None` where the runtime takes no such head: it answers
/// by itself then, with an error.
fn begin(head: &Response<()>, length: Option<u64>, out: ResponseOutparam) -> Option<Outflow> {
    let fields = Fields::from_list(&head::fields(head.headers(), length)).ok()?;
    let response = OutgoingResponse::new(fields);
    response.set_status_code(head.status().as_u16()).ok()?;
    let outflow = response.body().ok().and_then(Outflow::of)?;
    out.set(response);
    Some(outflow)
}

/// Carries an answer to its client, until it ends or the client has gone.
async fn carry(body: Body<Shell>, mut outflow: Outflow, patience: Duration) {
    let mut body = body;
    loop {
        let (mut bytes, last) = gather(&mut body).await;
        let written = poll_fn(|cx| outflow.poll_write(&mut bytes, cx));
        match select(written, Sleep::new(patience)).await {
            Either::Left((Ok(()), _)) => {}
            // Dropped, the body tells that its client has left.
            Either::Left((Err(Gone), _)) | Either::Right(_) => return,
        }
        match last {
            None => {}
            Some(Ok(())) => {
                outflow.finish();
                return;
            }
            // Not finished, it is cut.
            Some(Err(Aborted)) => return,
        }
    }
}

/// What there is of an answer, and whether that was the last of it.
async fn gather(body: &mut Body<Shell>) -> (Bytes, Option<Result<(), Aborted>>) {
    let mut batch: Vec<Bytes> = Vec::new();
    let mut size = 0_usize;
    let last = poll_fn(|cx| {
        while size < BATCH {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(None),
                Poll::Ready(None) => return Poll::Ready(Some(Ok(()))),
                Poll::Ready(Some(Err(Aborted))) => return Poll::Ready(Some(Err(Aborted))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        size = size.saturating_add(data.len());
                        batch.push(data);
                    }
                }
            }
        }
        Poll::Ready(None)
    })
    .await;
    (joined(batch), last)
}

fn joined(mut batch: Vec<Bytes>) -> Bytes {
    if batch.len() < 2 {
        return batch.pop().unwrap_or_default();
    }
    let mut bytes = BytesMut::new();
    for part in batch {
        bytes.extend_from_slice(&part);
    }
    bytes.freeze()
}

async fn refuse(refusal: &Refusal, out: ResponseOutparam) {
    let mut response = Response::new(refusal.to_body());
    *response.status_mut() = refusal.status();
    *response.headers_mut() = refusal.headers();
    whole(response, out).await;
}

/// An answer that is not of the pipeline's making.
async fn whole(response: Response<Bytes>, out: ResponseOutparam) {
    let (parts, mut bytes) = response.into_parts();
    let length = u64::try_from(bytes.len()).ok();
    let Some(mut outflow) = begin(&Response::from_parts(parts, ()), length, out) else { return };
    let written = poll_fn(|cx| outflow.poll_write(&mut bytes, cx));
    let is_written = matches!(select(written, Sleep::new(PATIENCE)).await, Either::Left((Ok(()), _)));
    if is_written {
        outflow.finish();
    }
}

/// A name that is no method's is one that nobody answers to.
fn method(method: WasiMethod) -> Method {
    match method {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Trace => Method::TRACE,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Other(name) => Method::from_bytes(name.as_bytes()).unwrap_or(Method::TRACE),
    }
}
