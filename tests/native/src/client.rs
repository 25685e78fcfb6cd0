//! A client that keeps answers as they came.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// A request's body.
pub type Outgoing = BoxBody<Bytes, io::Error>;

pub fn whole(bytes: impl Into<Bytes>) -> Outgoing {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body of chunks that are made as they are sent.
pub fn streamed(chunks: impl Iterator<Item = Bytes> + Send + Sync + 'static) -> Outgoing {
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

/// An answer that is here as a whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Self { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer to `x-weir-explain: 1`.
    pub fn explanation(&self) -> Value {
        serde_json::from_str(self.header("x-weir-explain")).expect("an explanation")
    }
}

pub fn chat_body(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Tell me of rivers."}]})
}

/// The same, to be streamed.
pub fn streamed_chat_body(model: &str) -> Value {
    let mut body = chat_body(model);
    body["stream"] = true.into();
    body
}

/// A request for a chat completion, streamed or whole as `body` says. Where it goes is added when it is sent.
pub fn chat_request(body: &Value) -> Request<Outgoing> {
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(whole(body.to_string()))
        .unwrap()
}

/// HTTP/1.1, or HTTP/2 by prior knowledge, to one address.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http1: Legacy<HttpConnector, Outgoing>,
    http2: Legacy<HttpConnector, Outgoing>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            http1: Legacy::builder(TokioExecutor::new()).build_http(),
            http2: Legacy::builder(TokioExecutor::new()).http2_only(true).build_http(),
        }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        match request.version() {
            http::Version::HTTP_2 => self.http2.request(request).await,
            _ => self.http1.request(request).await,
        }
    }
}
