//! Reads its standard input as its one argument says, and ends: whoever runs it counts what that took.
//!
//! Each reader is a way that bytes of a stranger come in: a caller's request, an upstream's answer, what crosses between
//! isolates. Where a whole exchange reads them, it does so on the virtual shell of `weir-portability`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a reader that is set up wrong has nothing to say")]

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use weir::Config;
use weir::dialect::call::{Bounds, Call, UsageRequest};
use weir::dialect::endpoint::Operation;
use weir::dialect::openai::replay::{UsageChunk, to_events, to_whole, without_usage};
use weir::store::durable::Desk;
use weir::time::Instant;
use weir::wire::coding::{Coding, decode};
use weir::wire::sse::{Splitter, frames};
use weir_portability::{Answer, Beat, Shell, config, exchange, post, request};

/// What is read in it: everything that a restricted caller's body may name, and what a cache would know it by.
const DOCUMENT: &str = r#"
auth = "open"
passthrough = { upstream = "a", owners = true }
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
[[route]]
model = "*"
to = [{ upstream = "a", model = "renamed-model" }]
cache = { ttl = "1h" }
"#;

const NOW: Instant = Instant::from_micros(1_790_000_000_000_000);

fn main() {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    match std::env::args().nth(1).as_deref() {
        Some("nothing") => {}
        Some("sse") => sse(&bytes, bytes.len()),
        Some("sse-by-bytes") => sse(&bytes, 1),
        Some("call") => call(&bytes),
        Some("request") => asked("/v1/chat/completions", "application/json", &bytes),
        Some("json") => asked("/v1/threads", "application/json", &bytes),
        Some("form") => {
            asked("/v1/audio/transcriptions", "multipart/form-data; boundary=b0undary", &bytes);
        }
        Some("pairs") => asked("/v1/threads", "application/x-www-form-urlencoded", &bytes),
        Some("path") => path(&bytes),
        Some("header") => headers(&bytes),
        Some("answer") => answered(Answer::events(""), true, &bytes),
        Some("whole-answer") => answered(Answer::json(""), false, &bytes),
        Some("error") => answered(Answer::new(400, "application/json", ""), false, &bytes),
        Some("coding") => coding(&bytes),
        Some("replay") => replay(&bytes),
        Some("object") => object(&bytes),
        other => panic!("no reader {other:?}"),
    }
}

fn sse(bytes: &[u8], piece: usize) {
    let mut splitter = Splitter::new(usize::MAX);
    for piece in bytes.chunks(piece.max(1)) {
        let block = splitter.push(Bytes::copy_from_slice(piece)).unwrap();
        frames(&block).for_each(|frame| drop(frame.data));
    }
    frames(&splitter.take_rest()).for_each(|frame| drop(frame.data));
}

fn call(bytes: &[u8]) {
    let bounds = Bounds { max_depth: 64, max_n: 128 };
    let body = Bytes::copy_from_slice(bytes);
    for operation in [Operation::Chat, Operation::Completions, Operation::Embeddings, Operation::Responses] {
        if let Ok(call) = Call::parse(operation, None, body.clone(), bounds) {
            drop(call.body_for("other", UsageRequest::Added));
        }
    }
}

fn document() -> Arc<Config> {
    config(DOCUMENT)
}

fn asked(path: &str, kind: &'static str, bytes: &[u8]) {
    let shell = Shell::default();
    shell.script("a", [Answer::json(r#"{"id":"x"}"#)]);
    let mut request = request(shell.clock(), Method::POST, path, bytes.to_vec());
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    headers.insert(HeaderName::from_static("idempotency-key"), HeaderValue::from_static("k"));
    exchange(&shell, &document(), request);
}

fn path(bytes: &[u8]) {
    let text: String = bytes.iter().map(|byte| char::from(0x21 + byte % 0x5e)).collect();
    let Ok(uri) = format!("/v1/{text}").parse::<http::Uri>() else { return };
    let shell = Shell::default();
    let mut request = request(shell.clock(), Method::GET, "/", "");
    *request.uri_mut() = uri;
    exchange(&shell, &document(), request);
}

/// In those that are taken apart.
fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let shell = Shell::default();
    shell.script("a", [Answer::json("{}")]);
    let body = r#"{"model":"m","messages":[]}"#;
    for name in ["accept", "cache-control", "traceparent", "x-forwarded-for", "authorization", "content-type"]
    {
        let mut request = post(shell.clock(), "/v1/chat/completions", body);
        request.headers_mut().insert(HeaderName::from_static(name), value.clone());
        exchange(&shell, &document(), request);
    }
}

fn answered(answer: Answer, is_streamed: bool, bytes: &[u8]) {
    let shell = Shell::default();
    let beats = bytes.chunks(97).map(|piece| Beat::Bytes(Bytes::copy_from_slice(piece)));
    shell.script("a", [answer.beats(beats)]);
    let stream = if is_streamed { "true" } else { "false" };
    let body = format!(r#"{{"model":"m","stream":{stream},"messages":[]}}"#);
    exchange(&shell, &document(), post(shell.clock(), "/v1/chat/completions", body));
}

fn coding(bytes: &[u8]) {
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        // What it comes to is bounded by a bound of its own.
        let _ = decode(coding, Bytes::copy_from_slice(bytes), 1 << 20);
    }
}

fn replay(bytes: &[u8]) {
    for operation in [Operation::Chat, Operation::Completions, Operation::Responses] {
        drop(to_events(operation, bytes, UsageChunk::Wanted));
        drop(to_whole(operation, bytes));
        drop(without_usage(operation, &Bytes::copy_from_slice(bytes)));
    }
}

fn object(bytes: &[u8]) {
    let mut desk = Desk::restore([("account:1".to_owned(), bytes.to_vec())], NOW);
    drop(desk.answer(bytes, NOW, u64::MAX));
}
