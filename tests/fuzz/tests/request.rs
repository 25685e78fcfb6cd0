//! A request's body: what is read out of it is what stands in it, and what goes on is the same body.
#![cfg(test)]

use bytes::Bytes;
use weir::dialect::call::{Bounds, Call, UsageRequest};
use weir::dialect::endpoint::Operation;
use weir::refusal::Refusal;
use weir::wire::json::{self, Fields};
use weir_fuzz::CANARY;

const BOUNDS: Bounds = Bounds { max_depth: 32, max_n: 8 };

const OPERATIONS: [Operation; 4] =
    [Operation::Chat, Operation::Completions, Operation::Embeddings, Operation::Responses];

/// Names that need escapes and names that do not.
const RENAMED: [&str; 3] = ["other", "org/modèle:free", "quo\"te\\"];

#[test]
fn request() {
    bolero::check!().for_each(holds);
}

#[test]
fn request_damaged() {
    weir_fuzz::mutants("request", 80).for_each(|bytes| holds(&bytes));
}

fn holds(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    for deployment in [None, Some("deployed")] {
        for operation in OPERATIONS {
            match Call::parse(operation, deployment, body.clone(), BOUNDS) {
                Ok(call) => {
                    is_what_it_says(&call, deployment, bytes);
                    stays_itself(&call, bytes, |body| Call::parse(operation, None, body, BOUNDS).unwrap());
                }
                Err(refusal) => is_answerable(&refusal, bytes),
            }
        }
        match Call::peek(deployment, body.clone(), BOUNDS) {
            Ok(Some(call)) => {
                is_what_it_says(&call, deployment, bytes);
                stays_itself(&call, bytes, |body| Call::peek(None, body, BOUNDS).unwrap().unwrap());
            }
            Ok(None) => assert_eq!(deployment, None),
            Err(refusal) => is_answerable(&refusal, bytes),
        }
    }
}

/// Another parser reads the same out of it.
fn is_what_it_says(call: &Call, deployment: Option<&str>, bytes: &[u8]) {
    let text = str::from_utf8(bytes).unwrap();
    assert!(json::depth(text) <= BOUNDS.max_depth);
    assert!(call.prompt_bytes <= bytes.len());
    // It refuses some numbers that are JSON.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    // A response may name a stored prompt in place of a model.
    assert_eq!(call.model, deployment.unwrap_or_else(|| value["model"].as_str().unwrap_or_default()));
    assert_eq!(call.stream, value["stream"].as_bool().unwrap_or(false));
}

/// Renamed, it is the same object but for the model and the request for usage.
fn stays_itself(call: &Call, bytes: &[u8], again: impl Fn(Bytes) -> Call) {
    let sent = fields(str::from_utf8(bytes).unwrap());
    for model in RENAMED {
        let rewritten = call.body_for(model, UsageRequest::Added);
        let read = again(rewritten.clone());
        assert_eq!((read.model.as_str(), read.stream), (model, call.stream));
        assert!(!read.injects_usage(), "asked for once");
        assert_eq!(read.wants_usage, call.wants_usage || call.injects_usage());
        assert_eq!(read.body_for(model, UsageRequest::Added), rewritten, "rewritten once");
        assert_eq!(fields(str::from_utf8(&rewritten).unwrap()), sent);
    }
    let said = sent_model(bytes);
    if let Some(model) = said.filter(|_| !call.injects_usage()) {
        assert_eq!(call.body_for(&model, UsageRequest::Added), bytes, "nothing to change, nothing changed");
    }
}

/// The fields that are nobody's business, as they are written.
fn fields(text: &str) -> Vec<(String, String)> {
    let fields = Fields::parse(text).unwrap();
    let others = fields.iter().filter(|(key, _)| !matches!(*key, "model" | "stream_options"));
    others.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn sent_model(bytes: &[u8]) -> Option<String> {
    Fields::parse(str::from_utf8(bytes).ok()?).ok()?.find("model")?.read()
}

fn is_answerable(refusal: &Refusal, bytes: &[u8]) {
    assert!(refusal.status().is_client_error(), "{refusal:?}");
    let message = refusal.message();
    assert!(!message.is_empty() && !message.contains(['\r', '\n']), "{message:?}");
    // A key that stands twice is named; keys are no prompts.
    let fields = str::from_utf8(bytes).ok().and_then(|text| Fields::parse(text).ok());
    let is_key = fields.is_some_and(|fields| fields.duplicate().is_some_and(|key| key.contains(CANARY)));
    assert!(is_key || !message.contains(CANARY), "{message}");
    let body: serde_json::Value = serde_json::from_slice(&refusal.to_body()).unwrap();
    assert!(body["error"]["message"].as_str().is_some_and(|said| !said.is_empty()));
}
