//! What the events of an answer mean, dialect by dialect.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::endpoint::Operation;
use crate::json::{self, Fields};
use crate::sse::Frame;
use crate::usage::{Meter, Usage};

/// What one event is to the contract.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Comments, role chunks, progress notes: nothing the client has waited for.
    Preamble,
    /// The answer itself, or its end short of the terminator.
    Content,
    /// The answer is complete.
    Terminator,
    /// The upstream says that it failed.
    Failure,
    /// No such event exists in this dialect.
    Malformed,
}

/// What becomes of an event's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    AsItIs,
    /// It was asked for by the gateway, not by the client.
    Drop,
    /// Without what was asked for by the gateway.
    Instead(Bytes),
}

/// Reads along.
#[derive(Debug)]
pub(crate) struct Observer {
    operation: Operation,
    /// The gateway asked for usage, the client did not.
    strip_usage: bool,
    meter: Meter,
    model: Option<String>,
    sequence: u64,
}

impl Observer {
    pub(crate) fn new(operation: Operation, strip_usage: bool) -> Self {
        Self { operation, strip_usage, meter: Meter::default(), model: None, sequence: 0 }
    }

    pub(crate) fn usage(&self, prompt_bytes: usize) -> Usage {
        self.meter.usage(prompt_bytes)
    }

    /// The model as the upstream calls it.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The number of the next event, where the dialect numbers them.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn see(&mut self, frame: &Frame<'_>) -> (Meaning, Passage) {
        let Some(data) = &frame.data else { return (Meaning::Preamble, Passage::AsItIs) };
        let Ok(text) = str::from_utf8(data) else { return (Meaning::Malformed, Passage::Drop) };
        match self.operation {
            Operation::Responses => (self.see_response_event(text), Passage::AsItIs),
            Operation::Chat | Operation::Completions | Operation::Embeddings => {
                if text.trim() == "[DONE]" {
                    return (Meaning::Terminator, Passage::AsItIs);
                }
                self.see_chunk(frame, text)
            }
        }
    }

    fn see_chunk(&mut self, frame: &Frame<'_>, text: &str) -> (Meaning, Passage) {
        let Ok(fields) = Fields::parse(text) else { return (Meaning::Malformed, Passage::Drop) };
        if fields.find("error").is_some_and(|error| !error.is_null()) {
            return (Meaning::Failure, Passage::Drop);
        }
        if self.model.is_none() {
            self.model = fields.find("model").and_then(json::Value::read);
        }
        let reported = fields.find("usage").and_then(read_usage);
        if let Some(usage) = reported {
            self.meter.report(usage);
        }
        let choices: Vec<Choice<'_>> = fields.find("choices").and_then(json::Value::read).unwrap_or_default();
        let content: usize = choices.iter().map(Choice::content).sum();
        if content > 0 {
            self.meter.count(content);
        }
        let is_content = content > 0 || choices.iter().any(Choice::is_finished);
        let meaning = if is_content { Meaning::Content } else { Meaning::Preamble };
        if !self.strip_usage {
            return (meaning, Passage::AsItIs);
        }
        if reported.is_some() && choices.is_empty() {
            return (meaning, Passage::Drop);
        }
        // Only what the gateway's own request added: `"usage":null`, or a running count.
        match fields.find("usage").and_then(|usage| usage.field_span("usage")) {
            None => (meaning, Passage::AsItIs),
            Some(span) => (meaning, without(frame, span)),
        }
    }

    fn see_response_event(&mut self, text: &str) -> Meaning {
        let Ok([kind, number, response, delta]) =
            json::pick(text, ["type", "sequence_number", "response", "delta"])
        else {
            return Meaning::Malformed;
        };
        let Some(kind) = kind.and_then(json::Value::read::<String>) else { return Meaning::Malformed };
        if let Some(number) = number.and_then(json::Value::read::<u64>) {
            self.sequence = number.saturating_add(1);
        }
        let response = response.and_then(|response| json::pick(response.text(), ["model", "usage"]).ok());
        if let Some([model, usage]) = response {
            if self.model.is_none() {
                self.model = model.and_then(json::Value::read);
            }
            if let Some(usage) = usage.and_then(read_usage) {
                self.meter.report(usage);
            }
        }
        match kind.as_str() {
            "response.completed" | "response.incomplete" => Meaning::Terminator,
            "response.failed" | "error" => Meaning::Failure,
            "response.created" | "response.in_progress" | "response.queued" => Meaning::Preamble,
            _ => {
                let delta = delta.map_or(0, |delta| delta.text().len().saturating_sub(2));
                if delta > 0 {
                    self.meter.count(delta);
                }
                Meaning::Content
            }
        }
    }

    /// Reads a whole JSON answer: its usage and the model. `false` when it is no answer of this operation
    /// (an error body with status 200, HTML, something else).
    pub(crate) fn see_whole(&mut self, body: &[u8]) -> bool {
        let answer = match self.operation {
            Operation::Chat | Operation::Completions => "choices",
            Operation::Embeddings => "data",
            Operation::Responses => "output",
        };
        let picked =
            str::from_utf8(body).ok().and_then(|text| json::pick(text, [answer, "model", "usage"]).ok());
        let Some([Some(answer), model, usage]) = picked else { return false };
        self.model = model.and_then(json::Value::read);
        match usage.and_then(read_usage) {
            Some(usage) => self.meter.report(usage),
            None => self.meter.count(answer.text().len()),
        }
        answer.text().starts_with('[')
    }
}

/// The frame with `span` of its data cut out. Data over several lines is left alone: no upstream writes a chunk
/// so, and the null in it would do no harm.
fn without(frame: &Frame<'_>, span: Range<usize>) -> Passage {
    let Some(Cow::Borrowed(data)) = frame.data else { return Passage::AsItIs };
    let base = data.as_ptr().addr() - frame.raw.as_ptr().addr();
    let (head, tail) = (&frame.raw[..base + span.start], &frame.raw[base + span.end..]);
    Passage::Instead([head, tail].concat().into())
}

fn read_usage(value: json::Value<'_>) -> Option<Usage> {
    // So it stands in every chunk but the last; reading it would come to the same.
    if value.is_null() { None } else { Usage::read(value.text()) }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

impl Choice<'_> {
    /// Bytes of what the model has said: text, reasoning, refusals, tool calls, whatever comes next; all but
    /// the role.
    fn content(&self) -> usize {
        let delta = self.delta.and_then(|delta| Fields::parse(delta.get()).ok());
        let said =
            delta.iter().flat_map(Fields::iter).filter(|(key, _)| *key != "role").map(|(_, value)| value);
        said.chain(self.text.map(RawValue::get)).map(content_bytes).sum()
    }

    fn is_finished(&self) -> bool {
        self.finish_reason.is_some_and(|reason| reason.get() != "null")
    }
}

fn content_bytes(value: &str) -> usize {
    match value {
        "null" | "\"\"" | "[]" | "{}" | "false" => 0,
        text => text.strip_prefix('"').map_or(text.len(), |text| text.len() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse;
    use crate::usage::{Source, Tokens};

    fn see(observer: &mut Observer, text: &str) -> (Meaning, Passage) {
        let (frame, _) = sse::frame(text.as_bytes());
        observer.see(&frame)
    }

    #[test]
    fn chat_events_mean_what_clients_take_them_for() {
        for (text, expected) in [
            (": ping\n\n", Meaning::Preamble),
            (
                r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
                Meaning::Preamble,
            ),
            (r#"data: {"choices":[],"prompt_filter_results":[]}"#, Meaning::Preamble),
            (r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#, Meaning::Content),
            (
                r#"data: {"choices":[{"delta":{"role":"assistant","reasoning_content":"h"}}]}"#,
                Meaning::Content,
            ),
            (r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Meaning::Content),
            (r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Meaning::Content),
            (r#"data: {"choices":[{"text":"Hi","finish_reason":null}]}"#, Meaning::Content),
            ("data: [DONE]", Meaning::Terminator),
            (r#"data: {"error":{"message":"x"}}"#, Meaning::Failure),
            ("data: {\"choices\":", Meaning::Malformed),
            ("data: <html>", Meaning::Malformed),
            ("data: ", Meaning::Malformed),
        ] {
            let mut observer = Observer::new(Operation::Chat, false);
            assert_eq!(see(&mut observer, text).0, expected, "{text}");
        }
    }

    #[test]
    fn response_events_mean_what_clients_take_them_for() {
        for (text, expected) in [
            (r#"data: {"type":"response.created","sequence_number":0}"#, Meaning::Preamble),
            (r#"data: {"type":"response.output_text.delta","delta":"Hi"}"#, Meaning::Content),
            (r#"data: {"type":"response.completed","response":{}}"#, Meaning::Terminator),
            (r#"data: {"type":"response.incomplete","response":{}}"#, Meaning::Terminator),
            (r#"data: {"type":"error","code":"x"}"#, Meaning::Failure),
            ("data: [DONE]", Meaning::Malformed),
        ] {
            let mut observer = Observer::new(Operation::Responses, false);
            assert_eq!(see(&mut observer, text).0, expected, "{text}");
        }
    }

    #[test]
    fn usage_that_only_the_gateway_asked_for_is_stripped_and_kept_in_the_books() {
        let mut observer = Observer::new(Operation::Chat, true);
        let chunk = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}],\"usage\":null}\n\n";
        let stripped =
            "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n";
        assert_eq!(see(&mut observer, chunk).1, Passage::Instead(Bytes::from_static(stripped.as_bytes())));
        let last = r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}"#;
        assert_eq!(see(&mut observer, last).1, Passage::Drop);
        let usage = observer.usage(0);
        assert_eq!((usage.input, usage.output, usage.source), (Tokens(3), Tokens(5), Source::Reported));
        assert_eq!(observer.model(), Some("m"));
    }

    #[test]
    fn a_whole_answer_is_told_from_what_is_none() {
        for (operation, body, expected) in [
            (Operation::Chat, r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, true),
            (Operation::Chat, r#"{"error":{"message":"x"}}"#, false),
            (Operation::Chat, "<html>", false),
            (Operation::Chat, r#"{"choices":[]"#, false),
            (Operation::Chat, r#"{"choices":7}"#, false),
            (Operation::Embeddings, r#"{"data":[]}"#, true),
            (Operation::Responses, r#"{"output":[],"error":null}"#, true),
        ] {
            assert_eq!(Observer::new(operation, false).see_whole(body.as_bytes()), expected, "{body}");
        }
    }
}
