//! Bodies that come in: a client's request, an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderValue, header};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_streams::readable::IntoStream;
use web_sys::{ReadableStream, Request, Response};
use weir::platform::Broken;

/// A body that says it is no longer than this comes as one buffer, which costs one crossing; others, and
/// events, come as they are sent.
const LARGEST_BUFFER: u64 = 256 * 1024;

/// Dropped, it is cancelled.
pub(crate) enum Incoming {
    Empty,
    Buffer(JsFuture),
    Stream(IntoStream<'static>),
}

impl Incoming {
    pub(crate) fn of_request(request: &Request, headers: &HeaderMap) -> Self {
        Self::new(request.body(), headers, || request.array_buffer())
    }

    pub(crate) fn of_response(response: &Response, headers: &HeaderMap) -> Self {
        Self::new(response.body(), headers, || response.array_buffer())
    }

    fn new(
        body: Option<ReadableStream>,
        headers: &HeaderMap,
        buffer: impl FnOnce() -> Result<Promise, JsValue>,
    ) -> Self {
        let Some(body) = body else { return Self::Empty };
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if length.is_some_and(|length: u64| length <= LARGEST_BUFFER)
            && !kind.starts_with(b"text/event-stream")
            && let Ok(buffer) = buffer()
        {
            return Self::Buffer(JsFuture::from(buffer));
        }
        Self::Stream(wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_stream())
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let chunk = match &mut *self {
                Self::Empty => return Poll::Ready(None),
                Self::Buffer(buffer) => {
                    let read = ready!(Pin::new(buffer).poll(cx));
                    *self = Self::Empty;
                    read.map(|buffer| Uint8Array::new(&buffer))
                }
                Self::Stream(stream) => match ready!(Pin::new(stream).poll_next(cx)) {
                    Some(read) => read.and_then(JsValue::dyn_into),
                    None => return Poll::Ready(None),
                },
            };
            match chunk {
                Ok(chunk) if chunk.length() == 0 => {}
                Ok(chunk) => return Poll::Ready(Some(Ok(chunk.to_vec().into()))),
                Err(_) => {
                    *self = Self::Empty;
                    return Poll::Ready(Some(Err(Broken)));
                }
            }
        }
    }
}
