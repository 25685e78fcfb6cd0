//! Bytes of answers, whole or in pieces.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Act;

/// A whole response.
pub fn response(status: &str, content_type: &str, body: &str) -> Act {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    Act::Send(text.into())
}

pub fn json(status: &str, body: &Value) -> Act {
    response(status, "application/json", &body.to_string())
}

/// A chat completion that says `text`.
pub fn completion(text: &str) -> Act {
    json(
        "200 OK",
        &json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        }),
    )
}

/// An error in OpenAI's shape.
pub fn error(status: &str, message: &str) -> Act {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": null});
    json(status, &json!({"error": error}))
}

/// The head of a stream of events, in chunks.
pub fn stream_head() -> Act {
    Act::Send(Bytes::from_static(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    ))
}

/// One chunk of a chunked body.
pub fn chunk(data: &str) -> Bytes {
    format!("{:x}\r\n{data}\r\n", data.len()).into()
}

/// An event that carries `text`, as bytes of the body.
pub fn event(text: &str) -> String {
    let event = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    });
    format!("data: {event}\n\n")
}

/// An event that carries `text`, as a chunk.
pub fn content(text: &str) -> Act {
    Act::Send(chunk(&event(text)))
}

/// The event that ends the one choice of a stream.
pub fn finish() -> String {
    let event = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    });
    format!("data: {event}\n\n")
}

/// The last events of a stream: the end of its choice, usage, terminator, end.
pub fn farewell() -> Act {
    let usage = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [],
        "usage": {"prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33},
    });
    let last = format!("{}data: {usage}\n\ndata: [DONE]\n\n", finish());
    Act::Send([chunk(&last), Bytes::from_static(b"0\r\n\r\n")].concat().into())
}

/// A whole stream that says `text`.
pub fn stream(text: &str) -> Vec<Act> {
    vec![stream_head(), content(text), farewell()]
}
