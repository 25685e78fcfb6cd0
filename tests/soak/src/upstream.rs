//! A provider that says what it was asked, so that an answer that is somebody else's is seen.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// Bytes of the answer to a prompt that begins with [`BIG`].
const BIG_BYTES: usize = 1 << 20;

pub(crate) const BIG: &str = "big";

/// Bytes of a body that are answered beside the others: a provider has more machines than one.
const LARGE: usize = 64 << 10;

/// `beside` answers what is large.
pub(crate) async fn start(beside: Handle) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let beside = beside.clone();
            let service = service_fn(move |request| answer(request, beside.clone()));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn answer(request: Request<Incoming>, beside: Handle) -> Result<Response<Full<Bytes>>, Infallible> {
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let is_large = body.len() > LARGE || body.windows(BIG.len()).any(|part| part == BIG.as_bytes());
    Ok(if is_large { beside.spawn(async move { say(&body) }).await.unwrap() } else { say(&body) })
}

fn say(body: &[u8]) -> Response<Full<Bytes>> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let prompt = asked["messages"][0]["content"].as_str().unwrap_or("nothing").to_owned();
    let said = if prompt.starts_with(BIG) { prompt + &"x".repeat(BIG_BYTES) } else { prompt };
    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10 });
    let head = |kind| Response::builder().header(header::CONTENT_TYPE, kind);
    let response = if asked["stream"] == true {
        let chunk = |delta: Value, finish: Value| {
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
        };
        let parts = said.as_bytes().chunks(8).map(String::from_utf8_lossy);
        let deltas = parts.map(|part| chunk(json!({ "content": part }), Value::Null).to_string());
        let last = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [], "usage": usage });
        let behind = [chunk(json!({}), json!("stop")).to_string(), last.to_string(), "[DONE]".into()];
        let events: Vec<String> = deltas.chain(behind).map(|data| format!("data: {data}\n\n")).collect();
        let text = events.concat();
        head("text/event-stream").body(Full::from(text))
    } else {
        let message = json!({ "role": "assistant", "content": said });
        let whole = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": usage });
        head("application/json").body(Full::from(whole.to_string()))
    };
    response.unwrap()
}
