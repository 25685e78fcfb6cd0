//! Calls at upstreams.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::TryStreamExt as _;
use http::StatusCode;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{AbortController, Response};
use weir::routing::upstream::dispatch::SendFault;
use weir::wire::upload::{Broken, Payload};

use crate::gone::Gone;
use crate::incoming::Incoming;
use crate::promised::Promised;
use crate::{head, js, outgoing};

/// An upstream's answer.
pub(crate) struct Download {
    body: Incoming,
    call: Call,
}

/// A call under way. Dropped, it is cancelled.
struct Call {
    controller: AbortController,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    UnderWay,
    Over,
    /// To be cancelled in any case: an upstream may answer and leave the body unread that is streamed to it.
    Uploading,
}

impl Call {
    fn is_over(&mut self) {
        if self.stage == Stage::UnderWay {
            self.stage = Stage::Over;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.controller.abort();
        }
    }
}

impl Stream for Download {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        if let Poll::Ready(None | Some(Err(Broken))) = polled {
            self.call.is_over();
        }
        polled
    }
}

/// The platform tells neither when it has connected nor that it has not: a connection that is refused and one
/// that breaks are the same to it. What fails may therefore have been heard, and a connect without an end is
/// bounded by the core's wait for the head.
pub(crate) async fn send(
    request: http::Request<Payload<Incoming>>,
) -> Result<http::Response<Download>, SendFault> {
    let (parts, payload) = request.into_parts();
    let controller = AbortController::new().map_err(|_| SendFault::Broken)?;
    let signal = controller.signal();
    let (body, stage) = match payload {
        Payload::Empty => (JsValue::UNDEFINED, Stage::UnderWay),
        Payload::Whole(bytes) => (Uint8Array::from(&*bytes).into(), Stage::UnderWay),
        // Where the client breaks off, so must the request to the upstream.
        Payload::Stream(upload) => {
            let upload = upload.map_err(|Broken| "the client broke off");
            (outgoing::body(upload, Gone::by(&signal)), Stage::Uploading)
        }
    };
    let call = Call { controller, stage };
    let head = head::print_headers(&parts.headers);
    let promise = js::send(&parts.uri.to_string(), parts.method.as_str(), &head, &body, &signal)
        .map_err(|_| SendFault::Broken)?;
    let answer = Promised::from(&promise).await.map_err(|_| SendFault::Broken)?;
    let answer: Response = answer.dyn_into().map_err(|_| SendFault::Broken)?;
    let mut headers = head::parse_headers(&js::response_head(&answer));
    head::strip_undone_coding(&mut headers);
    let download = Download { body: Incoming::of_response(&answer, &headers), call };
    let mut response = http::Response::new(download);
    *response.status_mut() = StatusCode::from_u16(answer.status()).map_err(|_| SendFault::Broken)?;
    *response.headers_mut() = headers;
    Ok(response)
}
