//! A response as a head and the steps by which its body comes out.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::playback::{Step, Steps};

pub(crate) type Reply = Response<Steps>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

const PROXY_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head>\
    <body><h1>It works</h1><p>This page is simulated: a proxy answered instead of the API.</p>\
    </body></html>\n";

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = encoded(body);
    let length = body.len() as u64;
    json_in_steps(status, length, [Step::Send(body)])
}

/// A JSON response that declares `length` bytes, whatever its steps send.
pub(crate) fn json_in_steps(
    status: StatusCode,
    length: u64,
    steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>,
) -> Reply {
    declared(status, JSON, length, steps)
}

pub(crate) fn binary(length: u64, steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Reply {
    declared(StatusCode::OK, BINARY, length, steps)
}

pub(crate) fn html(status: StatusCode) -> Reply {
    let page = Bytes::from_static(PROXY_PAGE.as_bytes());
    declared(status, HTML, page.len() as u64, [Step::Send(page)])
}

pub(crate) fn events(steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>) -> Reply {
    let headers =
        [(header::CONTENT_TYPE, EVENTS), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    build(StatusCode::OK, headers, Steps::new(steps))
}

/// A value of ours as JSON.
pub(crate) fn encoded(value: &impl Serialize) -> Bytes {
    // Our values have string keys and no failing `Serialize`, so this cannot be empty.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

fn declared(
    status: StatusCode,
    content_type: HeaderValue,
    length: u64,
    steps: impl IntoIterator<Item = Step, IntoIter: Send + 'static>,
) -> Reply {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_LENGTH, HeaderValue::from(length))];
    build(status, headers, Steps::new(steps))
}

fn build(status: StatusCode, headers: [(HeaderName, HeaderValue); 2], steps: Steps) -> Reply {
    let mut reply = Response::new(steps);
    *reply.status_mut() = status;
    reply.headers_mut().extend(headers);
    reply
}
