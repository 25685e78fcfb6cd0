//! What the events of an answer mean, dialect by dialect.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::endpoint::Operation;
use crate::json::{self, PlaceIn};
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
    /// Without what was asked for by the gateway, which stands there in the frame.
    Without(Range<usize>),
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
    /// A whole answer was seen, and it says nothing else.
    is_whole: bool,
}

impl Observer {
    pub(crate) fn new(operation: Operation, strip_usage: bool) -> Self {
        Self { operation, strip_usage, meter: Meter::default(), model: None, sequence: 0, is_whole: false }
    }

    pub(crate) fn usage(&self, prompt_bytes: usize) -> Usage {
        self.meter.usage(prompt_bytes)
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether what was seen is a whole answer that may be given again.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
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
        let Ok(Chunk { values, choices }) = serde_json::from_str(text) else {
            return (Meaning::Malformed, Passage::Drop);
        };
        let [error, model, usage] = values.map(|raw| raw.map(|raw| json::Value::new(text, raw)));
        if error.is_some_and(|error| !error.is_null()) {
            return (Meaning::Failure, Passage::Drop);
        }
        if self.model.is_none() {
            self.model = model.and_then(json::Value::read);
        }
        let reported = usage.and_then(read_usage);
        if let Some(usage) = reported {
            self.meter.report(usage);
        }
        if choices.content > 0 {
            self.meter.count(choices.content);
        }
        let is_content = choices.content > 0 || choices.is_any_finished;
        let meaning = if is_content { Meaning::Content } else { Meaning::Preamble };
        if !self.strip_usage {
            return (meaning, Passage::AsItIs);
        }
        if reported.is_some() && choices.count == 0 {
            return (meaning, Passage::Drop);
        }
        // Only what the gateway's own request added: `"usage":null`, or a running count.
        let span = usage.and_then(|usage| usage.field_span("usage"));
        (meaning, span.map_or(Passage::AsItIs, |span| without(frame, span)))
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
        let picked = str::from_utf8(body)
            .ok()
            .and_then(|text| json::pick(text, [answer, "model", "usage", "status"]).ok());
        let Some([Some(answer), model, usage, status]) = picked else { return false };
        self.model = model.and_then(json::Value::read);
        match usage.and_then(read_usage) {
            Some(usage) => self.meter.report(usage),
            None => self.meter.count(answer.text().len()),
        }
        let is_answer = answer.text().starts_with('[');
        // A response may be told of before it is there.
        let status = status.and_then(json::Value::read::<String>);
        self.is_whole = is_answer && status.is_none_or(|status| status == "completed");
        is_answer
    }
}

/// The frame with `span` of its data cut out. Data over several lines is left alone: no upstream writes a chunk
/// so, and the null in it would do no harm.
fn without(frame: &Frame<'_>, span: Range<usize>) -> Passage {
    let Some(Cow::Borrowed(data)) = frame.data else { return Passage::AsItIs };
    let base = data.as_ptr().addr() - frame.raw.as_ptr().addr();
    Passage::Without(base + span.start..base + span.end)
}

fn read_usage(value: json::Value<'_>) -> Option<Usage> {
    // So it stands in every chunk but the last; reading it would come to the same.
    if value.is_null() { None } else { Usage::read(value.text()) }
}

/// What is read of a chunk, in one pass over it. What has another form than it should counts for nothing, and what
/// is no JSON at all is the only error; of a key that stands twice, the last one counts.
struct Chunk<'a> {
    /// Of the fields `error`, `model` and `usage`.
    values: [Option<&'a RawValue>; 3],
    choices: Choices,
}

#[derive(Clone, Copy, Default)]
struct Choices {
    count: usize,
    /// Bytes of what the model has said.
    content: usize,
    is_any_finished: bool,
}

#[derive(Default)]
struct Choice {
    delta: Delta,
    text: usize,
    is_finished: bool,
}

/// Bytes of what the model has said: text, reasoning, refusals, tool calls, whatever comes next; all but the
/// role.
#[derive(Default)]
struct Delta(usize);

/// What may be a `T` or anything else.
struct Maybe<T>(Option<T>);

/// An object of which some fields count.
trait Object: Default {
    const KEYS: &[&str];

    /// Reads the value behind a key: its place in [`Self::KEYS`], if it has one.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error>;
}

impl Object for Choice {
    const KEYS: &[&str] = &["delta", "text", "finish_reason"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error> {
        match key {
            Some(0) => self.delta = fields.next_value::<Maybe<Delta>>()?.0.unwrap_or_default(),
            Some(1) => self.text = content_bytes(fields.next_value::<&RawValue>()?.get()),
            Some(_) => self.is_finished = fields.next_value::<&RawValue>()?.get() != "null",
            None => _ = fields.next_value::<IgnoredAny>()?,
        }
        Ok(())
    }
}

impl Object for Delta {
    const KEYS: &[&str] = &["role"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error> {
        let value: &RawValue = fields.next_value()?;
        if key.is_none() {
            self.0 += content_bytes(value.get());
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Chunk<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Chunk<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chunk")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Chunk<'de>, A::Error> {
                let mut chunk = Chunk { values: [None; 3], choices: Choices::default() };
                while let Some(key) =
                    fields.next_key_seed(PlaceIn(&["error", "model", "usage", "choices"]))?
                {
                    match key.map(|key| chunk.values.get_mut(key)) {
                        Some(Some(value)) => *value = Some(fields.next_value()?),
                        Some(None) => chunk.choices = fields.next_value()?,
                        None => _ = fields.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(chunk)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The rest of a visitor that takes anything.
macro_rules! anything_else_is {
    ($nothing:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
                let (mut all, mut are_choices) = (Choices::default(), true);
                while let Some(Maybe(choice)) = list.next_element::<Maybe<Choice>>()? {
                    are_choices &= choice.is_some();
                    let Choice { delta, text, is_finished } = choice.unwrap_or_default();
                    all.count += 1;
                    all.content += delta.0 + text;
                    all.is_any_finished |= is_finished;
                }
                Ok(if are_choices { all } else { Choices::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Choices, A::Error> {
                IgnoredAny.visit_map(fields).map(|_| Choices::default())
            }

            anything_else_is!(Choices::default());
        }

        deserializer.deserialize_any(List)
    }
}

impl<'de, T: Object> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(T);

        impl<'de, T: Object> Visitor<'de> for Fields<T> {
            type Value = Maybe<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Maybe<T>, A::Error> {
                let Self(mut object) = self;
                while let Some(key) = fields.next_key_seed(PlaceIn(T::KEYS))? {
                    object.read(key, &mut fields)?;
                }
                Ok(Maybe(Some(object)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Maybe<T>, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Maybe(None))
            }

            anything_else_is!(Maybe(None));
        }

        deserializer.deserialize_any(Fields(T::default()))
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
        let (_, Passage::Without(span)) = see(&mut observer, chunk) else { panic!("nothing is stripped") };
        assert_eq!([&chunk[..span.start], &chunk[span.end..]].concat(), stripped);
        let last = r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}"#;
        assert_eq!(see(&mut observer, last).1, Passage::Drop);
        let usage = observer.usage(0);
        assert_eq!((usage.input, usage.output, usage.source), (Tokens(3), Tokens(5), Source::Reported));
        assert_eq!(observer.model(), Some("m"));
    }

    #[test]
    fn what_has_another_form_than_it_should_counts_for_nothing() {
        for (label, text, expected) in [
            ("choices", r#"{"choices":null}"#, Meaning::Preamble),
            ("choices", r#"{"choices":{"delta":{"content":"x"}}}"#, Meaning::Preamble),
            ("choices", r#"{"choices":"x"}"#, Meaning::Preamble),
            ("choices", r#"{"choices":-7.5}"#, Meaning::Preamble),
            ("one choice of several", r#"{"choices":[null,{"delta":{"content":"x"}}]}"#, Meaning::Preamble),
            ("one choice of several", r#"{"choices":[{"text":"x"},[1,{"a":2}]]}"#, Meaning::Preamble),
            ("a delta", r#"{"choices":[{"delta":null}]}"#, Meaning::Preamble),
            ("a delta", r#"{"choices":[{"delta":["x"],"finish_reason":"stop"}]}"#, Meaning::Content),
            ("a chunk", r#"[{"choices":[]}]"#, Meaning::Malformed),
            ("its end", r#"{"choices":[]}}"#, Meaning::Malformed),
            ("its inside", r#"{"choices":[{"delta":{"content":nul}}]}"#, Meaning::Malformed),
        ] {
            let mut observer = Observer::new(Operation::Chat, true);
            assert_eq!(see(&mut observer, &format!("data: {text}")).0, expected, "{label}: {text}");
        }
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts() {
        let mut observer = Observer::new(Operation::Chat, true);
        let text = r#"data: {"error":{},"model":"a","usage":{"prompt_tokens":1},"choices":[],"choices":[{"delta":null,
            "delta":{"content":"x","content":"y"},"text":1,"text":null}],"usage":null,"model":"b","error":null}"#;
        let text = text.replace('\n', " ");
        let (meaning, passage) = see(&mut observer, &text);
        let Passage::Without(span) = passage else { panic!("nothing is stripped") };
        assert_eq!((meaning, &text[span]), (Meaning::Content, r#","usage":null"#));
        assert_eq!((observer.model(), observer.usage(0).source), (Some("b"), Source::Counted));
    }

    #[test]
    fn a_surrogate_without_its_other_half_is_content() {
        let mut observer = Observer::new(Operation::Chat, false);
        let text = r#"data: {"choices":[{"delta":{"content":"\ud83d"},"x":"\ud83d"}],"y":1e999}"#;
        assert_eq!(see(&mut observer, text), (Meaning::Content, Passage::AsItIs));
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
