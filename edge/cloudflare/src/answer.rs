//! The core's answer as a native one.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::Body as _;
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::Response;
use weir::{Aborted, Body};

use crate::gone::Gone;
use crate::platform::Edge;
use crate::{head, js, outgoing};

pub(crate) fn print(answer: http::Response<Body<Edge>>, gone: Gone) -> Result<Response, JsValue> {
    let (parts, body) = answer.into_parts();
    let head = head::print_headers(&parts.headers);
    js::answer(parts.status.as_u16(), &head, &content(body, gone))
}

/// One buffer where the answer is here, a stream where it is still to come.
fn content(body: Body<Edge>, gone: Gone) -> JsValue {
    if body.is_end_stream() {
        return JsValue::NULL;
    }
    let is_here = body.size_hint().exact().is_some();
    let mut chunks = Chunks(body);
    if !is_here {
        return outgoing::body(chunks, gone);
    }
    match Pin::new(&mut chunks).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(whole))) => Uint8Array::from(&*whole).into(),
        Poll::Ready(Some(Err(Aborted)) | None) | Poll::Pending => JsValue::NULL,
    }
}

struct Chunks(Body<Edge>);

impl Stream for Chunks {
    type Item = Result<Bytes, Aborted>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
    }
}
