//! Bodies that come in: a client's request, an upstream's answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderValue, header};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use web_sys::{ReadableStream, Request, Response};
use weir::wire::upload::Broken;

use crate::ear::{Waiting, Word};
use crate::js::Source;
use crate::promised::Buffered;

/// A body that says it is no longer than this comes as one buffer, which costs one crossing; others, and
/// events, come as they are sent.
const LARGEST_BUFFER: u64 = 256 * 1024;

/// Dropped, it is cancelled.
pub(crate) enum Incoming {
    Empty,
    Buffer(Buffered),
    Stream(Chunks),
    /// Somebody else reads it, which the platform would have to be at fault for.
    Unreadable,
}

/// A body as it comes. One chunk is asked for at a time.
pub(crate) struct Chunks {
    source: Source,
    waiting: Waiting,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// A chunk is asked for.
    Asking,
    Over,
}

impl Incoming {
    pub(crate) fn of_request(request: &Request, headers: &HeaderMap) -> Self {
        Self::new(headers, || request.body(), || request.array_buffer())
    }

    pub(crate) fn of_response(response: &Response, headers: &HeaderMap) -> Self {
        Self::new(headers, || response.body(), || response.array_buffer())
    }

    fn new(
        headers: &HeaderMap,
        body: impl FnOnce() -> Option<ReadableStream>,
        buffer: impl FnOnce() -> Result<Promise, JsValue>,
    ) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if length.is_some_and(|length: u64| length <= LARGEST_BUFFER)
            && !kind.starts_with(b"text/event-stream")
            && let Ok(buffer) = buffer()
        {
            return Self::Buffer(Buffered::from(&buffer));
        }
        body().map_or(Self::Empty, |body| Chunks::of(&body).map_or(Self::Unreadable, Self::Stream))
    }
}

impl Chunks {
    fn of(body: &ReadableStream) -> Result<Self, JsValue> {
        let waiting = Waiting::new();
        let source = waiting.lend(|who, teller| Source::new(body, who, teller))?;
        Ok(Self { source, waiting, stage: Stage::Idle })
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Broken>>> {
        match self.stage {
            Stage::Over => return Poll::Ready(None),
            Stage::Idle => {
                self.stage = Stage::Asking;
                self.source.read();
            }
            Stage::Asking => {}
        }
        let word = ready!(self.waiting.poll(cx));
        self.stage = Stage::Over;
        Poll::Ready(match word {
            Word::Bytes(bytes) => {
                self.stage = Stage::Idle;
                Some(Ok(bytes))
            }
            Word::Over => None,
            Word::Failed | Word::Value(_) => Some(Err(Broken)),
        })
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.source.cancel();
        }
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let chunk = match &mut *self {
                Self::Empty => None,
                Self::Unreadable => {
                    *self = Self::Empty;
                    Some(Err(Broken))
                }
                Self::Buffer(buffer) => {
                    let read = ready!(Pin::new(buffer).poll(cx));
                    *self = Self::Empty;
                    Some(read.map_err(|_| Broken))
                }
                Self::Stream(chunks) => ready!(chunks.poll_chunk(cx)),
            };
            match chunk {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                chunk => return Poll::Ready(chunk.map(|chunk| chunk.map(Bytes::from))),
            }
        }
    }
}
