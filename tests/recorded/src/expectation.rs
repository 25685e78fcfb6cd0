//! What should become of a recording, worked out from its JSON.

use serde_json::Value;

use crate::recording::{Api, Line};

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    /// It stops before it is complete.
    Truncated,
    /// The provider says that it failed.
    Failed,
    /// It holds what is no JSON.
    Malformed,
}

/// Tokens as the provider reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
}

/// What should become of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) ending: Ending,
    /// Frames that pass untouched; what comes behind them does not pass.
    pub(crate) passing: usize,
    /// Whether something passes that a client waits for. Without it a failure has a status of its own.
    pub(crate) has_content: bool,
    /// The last report of what passes.
    pub(crate) usage: Option<Usage>,
    /// The provider's own account of its failure.
    pub(crate) failure: Option<Value>,
}

/// Looks through the events of a stream, behind which `[DONE]` comes or does not.
pub(crate) fn of_stream(api: Api, lines: &[Line], is_done: bool) -> Expectation {
    let mut expected = Expectation {
        ending: Ending::Truncated,
        passing: lines.len(),
        has_content: false,
        usage: None,
        failure: None,
    };
    let mut choices = Choices::default();
    for (number, line) in lines.iter().enumerate() {
        let event = match line {
            Line::Comment(_) | Line::Data { json: Some(Value::Null), .. } => continue,
            Line::Data { json: Some(event), .. } => event,
            Line::Data { json: None, .. } => {
                (expected.ending, expected.passing) = (Ending::Malformed, number);
                return expected;
            }
        };
        let told = usage_of(event).or_else(|| usage_of(&event["response"]));
        expected.usage = told.or(expected.usage);
        let is_failed = match api {
            Api::Responses => matches!(event["type"].as_str(), Some("error" | "response.failed")),
            _ => says_something(&event["error"]),
        };
        if is_failed {
            (expected.ending, expected.passing) = (Ending::Failed, number);
            expected.failure = Some(event.clone());
            return expected;
        }
        match api {
            Api::Responses => {
                let kind = event["type"].as_str().unwrap_or_default();
                expected.has_content |= is_content(kind);
                if matches!(kind, "response.completed" | "response.incomplete") {
                    (expected.ending, expected.passing) = (Ending::Complete, number + 1);
                    return expected;
                }
            }
            _ => expected.has_content |= choices.take(event),
        }
    }
    if is_done && choices.are_over() {
        (expected.ending, expected.passing) = (Ending::Complete, lines.len() + 1);
    }
    expected
}

/// Whether a client waits for an event of this type.
fn is_content(kind: &str) -> bool {
    kind.starts_with("response.")
        && !matches!(kind, "response.created" | "response.in_progress" | "response.queued")
}

/// The choices of a stream: their indices, and which of them have a reason for their end.
#[derive(Default)]
struct Choices {
    seen: Vec<u64>,
    ended: Vec<u64>,
}

impl Choices {
    /// Takes the choices of a chunk; whether there is anything in them.
    fn take(&mut self, chunk: &Value) -> bool {
        let mut has_content = false;
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap_or_default();
            self.seen.push(index);
            if says_something(&choice["finish_reason"]) {
                self.ended.push(index);
                has_content = true;
            }
            // Numbers and truth values tell of the choice.
            let is_said = |value: &Value| !value.is_number() && !value.is_boolean() && says_something(value);
            let mut delta = choice["delta"].as_object().into_iter().flatten();
            has_content |= delta.any(|(key, value)| key != "role" && is_said(value));
            has_content |= says_something(&choice["text"]);
        }
        has_content
    }

    fn are_over(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|index| self.ended.contains(index))
    }
}

/// Whether a whole answer has come to its end, so that it may be given again.
pub(crate) fn is_complete(api: Api, answer: &Value) -> bool {
    let mut choices = answer["choices"].as_array().into_iter().flatten();
    match api {
        Api::Chat | Api::Completions => choices.all(|choice| says_something(&choice["finish_reason"])),
        Api::Responses => matches!(answer["status"].as_str(), Some("completed" | "incomplete")),
        Api::Embeddings => true,
        Api::Transcription | Api::Error => false,
    }
}

/// Neither null nor empty.
pub(crate) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// The usage that an event or an answer reports. All that is not input is output: some providers count reasoning in
/// the total alone. Others do so with what was read from their cache, which they tell by name.
pub(crate) fn usage_of(answer: &Value) -> Option<Usage> {
    let usage = &answer["usage"];
    let number = |keys: &[&str]| keys.iter().find_map(|key| usage.pointer(key)?.as_u64());
    let mut input = number(&["/prompt_tokens", "/input_tokens"])?;
    let output = number(&["/completion_tokens", "/output_tokens"]).unwrap_or_default();
    let cached = number(&[
        "/prompt_tokens_details/cached_tokens",
        "/input_tokens_details/cached_tokens",
        "/cached_tokens",
        "/prompt_cache_hit_tokens",
        "/cache_read_input_tokens",
    ]);
    let total = number(&["/total_tokens"]).unwrap_or(input + output);
    let beside = number(&["/cache_read_input_tokens"]).unwrap_or_default()
        + number(&["/cache_creation_input_tokens"]).unwrap_or_default();
    if beside > 0 && total == input + output + beside {
        input += beside;
    }
    Some(Usage { input, cached: cached.unwrap_or_default(), output: total.saturating_sub(input) })
}

/// The status under which a provider sends an error: its code where that is one.
pub(crate) fn error_status(text: &str) -> u16 {
    let error: Value = serde_json::from_str(text).unwrap_or_default();
    let code = error["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    code.filter(|code| (400..600).contains(code)).unwrap_or(400)
}
