//! A `multipart/form-data` upload: whoever reads what is sent on, and however freely, finds the model that was
//! asked for and no other; and only that changes.
#![cfg(test)]

#[path = "upload/reader.rs"]
mod reader;

use std::sync::{Arc, LazyLock};

use http::{HeaderValue, Method, header};
use weir::Config;
use weir_portability::{Answer, Reply, Shell, config, exchange, request};

/// Checked once: it is the uploads that vary.
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| config(DOCUMENT));

const DOCUMENT: &str = r#"
auth = "open"
passthrough = "b"
[upstream.b]
dialect = "openai"
base_url = "https://b.example/v1"
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

fn is_sent(bytes: &[u8]) -> bool {
    let (shell, reply) = ask(bytes);
    reply.status == 200 && shell.sent().len() == 1
}

fn ask(bytes: &[u8]) -> (Shell, Reply) {
    let shell = Shell::default();
    for upstream in ["a", "b"] {
        shell.script(upstream, [Answer::json(r#"{"text":"hi"}"#)]);
    }
    let mut request = request(shell.clock(), Method::POST, "/v1/audio/transcriptions", bytes.to_vec());
    request.headers_mut().insert(header::CONTENT_LENGTH, bytes.len().into());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).unwrap());
    let reply = exchange(&shell, &CONFIG, request);
    (shell, reply)
}

fn holds(bytes: &[u8]) {
    let (shell, reply) = ask(bytes);
    let Some(sent) = shell.sent().pop() else {
        assert!((400..500).contains(&reply.status), "{reply:?}");
        assert!(serde_json::from_slice::<serde_json::Value>(&reply.body()).is_ok());
        return;
    };
    assert_eq!((reply.status, shell.records().len(), shell.in_flight()), (200, 1, 0));
    assert!(is_same_but_for_one_span(bytes, &sent.body, b"renamed-model"), "{:?}", sent.body);
    let (asked, told) = (reader::models(bytes, BOUNDARY), reader::models(&sent.body, BOUNDARY));
    if sent.upstream == "b" {
        assert_eq!((&sent.body[..], asked.len()), (bytes, 0), "a model that nobody was asked about");
        return;
    }
    let model = &shell.records()[0].model;
    assert!(!asked.is_empty() && asked.iter().all(|found| found == model.as_bytes()), "{asked:?}");
    assert!(!told.is_empty() && told.iter().all(|found| found == b"renamed-model"), "{told:?}");
}

/// Of the corpus: that refusing everything would not do.
#[test]
fn plain_uploads_are_sent_on() {
    let corpus = weir_fuzz::corpus("upload");
    let plain = corpus.iter().filter(|bytes| matches!(&reader::models(bytes, BOUNDARY)[..], [_]));
    let sent = plain.filter(|bytes| is_sent(bytes)).count();
    assert!(sent >= 8, "{sent} of {}", corpus.len());
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
