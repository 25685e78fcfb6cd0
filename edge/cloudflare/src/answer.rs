//! The core's answer as a native one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::Body as _;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::Response;
use weir::{Aborted, Body};

use crate::platform::Edge;
use crate::{head, js};

/// Bytes that cross at once, where as many are there.
const LARGEST_CHUNK: usize = 64 * 1024;

pub(crate) fn print(answer: http::Response<Body<Edge>>) -> Result<Response, JsValue> {
    let (parts, body) = answer.into_parts();
    let head = head::print_headers(&parts.headers);
    js::answer(parts.status.as_u16(), &head, &content(body))
}

/// One buffer where the answer is here, a stream where it is still to come.
fn content(body: Body<Edge>) -> JsValue {
    if body.is_end_stream() {
        return JsValue::NULL;
    }
    let is_here = body.size_hint().exact().is_some();
    let mut chunks = Chunks { body, held: None };
    if is_here {
        let mut context = Context::from_waker(std::task::Waker::noop());
        return match Pin::new(&mut chunks).poll_next(&mut context) {
            Poll::Ready(Some(Ok(whole))) => whole,
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => JsValue::NULL,
        };
    }
    wasm_streams::ReadableStream::from_stream(chunks).into_raw().unchecked_into()
}

/// What is ready together crosses together; nothing waits for more.
struct Chunks {
    body: Body<Edge>,
    /// What came behind the chunk that was given last.
    held: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Complete,
    Aborted,
}

impl End {
    fn told<T>(self) -> Option<Result<T, JsValue>> {
        match self {
            Self::Complete => None,
            Self::Aborted => Some(Err(js_sys::Error::new(&Aborted.to_string()).into())),
        }
    }
}

impl Stream for Chunks {
    type Item = Result<JsValue, JsValue>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(end) = self.held.take() {
            return Poll::Ready(end.told());
        }
        let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
        while first.len().saturating_add(rest.len()) < LARGEST_CHUNK {
            let end = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if first.is_empty() {
                        first = data;
                    } else {
                        rest.extend_from_slice(&data);
                    }
                    continue;
                }
                Poll::Pending => break,
                Poll::Ready(None) => End::Complete,
                Poll::Ready(Some(Err(Aborted))) => End::Aborted,
            };
            if first.is_empty() {
                return Poll::Ready(end.told());
            }
            self.held = Some(end);
            break;
        }
        if first.is_empty() {
            return Poll::Pending;
        }
        let chunk = if rest.is_empty() { Uint8Array::from(&*first) } else { joined(&first, &rest) };
        Poll::Ready(Some(Ok(chunk.into())))
    }
}

fn joined(first: &[u8], rest: &[u8]) -> Uint8Array {
    Uint8Array::from([first, rest].concat().as_slice())
}
