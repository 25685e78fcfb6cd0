//! Requests as clients send them.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};

use crate::clock::Clock;
use crate::flow::{Beat, End, Flow};

/// A request to this machine, without further headers. Its body comes in two parts: some polls lie between.
#[expect(clippy::panic, reason = "a test's own request is wrong")]
pub fn request(clock: &Clock, method: Method, uri: &str, body: impl Into<Bytes>) -> Request<Flow> {
    let first: Bytes = body.into();
    let mut first = first;
    let second = first.split_off(first.len() / 2);
    let parts = [first, second].into_iter().filter(|part| !part.is_empty());
    let beats = parts.flat_map(|part| [Beat::Yield, Beat::Bytes(part)]);
    let built = Request::builder().method(method).uri(uri).header(header::HOST, "localhost").body(Flow::new(
        clock,
        beats,
        End::Clean,
    ));
    built.unwrap_or_else(|fault| panic!("{uri}: {fault}"))
}

/// A JSON body, as an SDK posts it.
pub fn post(clock: &Clock, uri: &str, body: impl Into<Bytes>) -> Request<Flow> {
    let body = body.into();
    let length = body.len();
    let mut request = request(clock, Method::POST, uri, body);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    request
}

pub fn get(clock: &Clock, uri: &str) -> Request<Flow> {
    request(clock, Method::GET, uri, Bytes::new())
}
