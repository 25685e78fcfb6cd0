//! A `multipart/form-data` upload: what names a model is found as a strict reader finds it, and only that changes.
#![cfg(test)]

use std::sync::{Arc, LazyLock};

use http::{HeaderValue, Method, header};
use weir::Config;
use weir_portability::{Answer, Shell, config, exchange, request};

/// Checked once: it is the uploads that vary.
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| config(DOCUMENT));

const DOCUMENT: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
[[route]]
model = "*"
to = [{ upstream = "a", model = "renamed-model" }]
"#;

const BOUNDARY: &str = "b0undary";

#[test]
fn upload() {
    bolero::check!().for_each(holds);
}

#[test]
fn upload_damaged() {
    weir_fuzz::mutants("upload", 200).for_each(|bytes| holds(&bytes));
}

fn holds(bytes: &[u8]) {
    let shell = Shell::default();
    shell.script("a", [Answer::json(r#"{"text":"hi"}"#)]);
    let mut request = request(shell.clock(), Method::POST, "/v1/audio/transcriptions", bytes.to_vec());
    request.headers_mut().insert(header::CONTENT_LENGTH, bytes.len().into());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).unwrap());
    let reply = exchange(&shell, &CONFIG, request);
    let Some(sent) = shell.sent().pop() else {
        assert!((400..500).contains(&reply.status), "{reply:?}");
        assert!(serde_json::from_slice::<serde_json::Value>(&reply.body()).is_ok());
        return;
    };
    assert_eq!((reply.status, shell.records().len(), shell.in_flight()), (200, 1, 0));
    assert!(is_same_but_for_one_span(bytes, &sent.body, b"renamed-model"), "{:?}", sent.body);
}

/// `sent` is `given`, or `given` with one span replaced by `new`.
fn is_same_but_for_one_span(given: &[u8], sent: &[u8], new: &[u8]) -> bool {
    given == sent
        || (0..=sent.len().saturating_sub(new.len())).any(|at| {
            let (head, behind) = sent.split_at(at);
            behind.strip_prefix(new).is_some_and(|tail| {
                head.len() + tail.len() <= given.len() && given.starts_with(head) && given.ends_with(tail)
            })
        })
}
