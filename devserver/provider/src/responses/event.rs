//! A response as a stream of events, numbered from 0.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Progress, call_item, message_item, reasoning_item, summary, text_part};
use crate::{
    answer::{Answer, Body, Finish},
    call::Call,
    score::{Frame, Part},
};

/// The frames of a stream from `begun` to `ended`, which are whole responses.
pub(super) fn frames(call: &Call<'_>, answer: &Answer, begun: &Value, ended: &Value) -> Vec<Frame> {
    let mut events = Events::default();
    events.push(Part::Frame, "response.created", json!({"response": begun}));
    events.push(Part::Frame, "response.in_progress", json!({"response": begun}));
    if !answer.reasoning.is_empty() {
        events.reasoning(call, &answer.reasoning);
    }
    match &answer.body {
        Body::Text(tokens) => events.message(call, tokens, answer.finish),
        Body::ToolCall { id, name, arguments } => {
            let item = |progress, arguments: &str| call_item(call, progress, id, name, arguments);
            events.tool_call(&item, arguments, answer.finish);
        }
    }
    let last = match answer.finish {
        Finish::Length => "response.incomplete",
        Finish::Stop | Finish::ToolCall => "response.completed",
    };
    events.push(Part::Terminator, last, json!({"response": ended}));
    events.frames
}

#[derive(Default)]
struct Events {
    frames: Vec<Frame>,
    /// `output_index` of the item being streamed.
    item: usize,
}

impl Events {
    fn push(&mut self, part: Part, kind: &str, mut data: Value) {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("type".to_owned(), json!(kind));
            fields.insert("sequence_number".to_owned(), json!(self.frames.len()));
        }
        let bytes = Bytes::from(format!("event: {kind}\ndata: {data}\n\n"));
        self.frames.push(Frame { bytes, part });
    }

    fn reasoning(&mut self, call: &Call<'_>, tokens: &[String]) {
        let text = tokens.concat();
        let place = json!({
            "item_id": call.identity.id("rs_"),
            "output_index": self.item,
            "summary_index": 0,
        });
        let named = |name: &str, value: Value| with(&place, name, value);
        self.begin(&reasoning_item(call, &[]));
        let added = named("part", summary(""));
        self.push(Part::Frame, "response.reasoning_summary_part.added", added);
        for token in tokens {
            let delta = named("delta", json!(token));
            self.push(Part::Thought, "response.reasoning_summary_text.delta", delta);
        }
        let whole = named("text", json!(text));
        self.push(Part::Frame, "response.reasoning_summary_text.done", whole);
        let done = named("part", summary(&text));
        self.push(Part::Frame, "response.reasoning_summary_part.done", done);
        self.end(&reasoning_item(call, &[summary(&text)]));
    }

    fn message(&mut self, call: &Call<'_>, tokens: &[String], finish: Finish) {
        let text = tokens.concat();
        let place = json!({
            "item_id": call.identity.id("msg_"),
            "output_index": self.item,
            "content_index": 0,
        });
        let named = |name: &str, value: Value| with(&place, name, value);
        self.begin(&message_item(call, Progress::Begun, &[]));
        let added = named("part", text_part(""));
        self.push(Part::Frame, "response.content_part.added", added);
        for token in tokens {
            let delta = with(&named("delta", json!(token)), "logprobs", json!([]));
            self.push(Part::Content, "response.output_text.delta", delta);
        }
        let whole = with(&named("text", json!(text)), "logprobs", json!([]));
        self.push(Part::Frame, "response.output_text.done", whole);
        let done = named("part", text_part(&text));
        self.push(Part::Frame, "response.content_part.done", done);
        self.end(&message_item(call, Progress::Ended(finish), &[text_part(&text)]));
    }

    fn tool_call(&mut self, item: &dyn Fn(Progress, &str) -> Value, fragments: &[String], finish: Finish) {
        let arguments = fragments.concat();
        let begun = item(Progress::Begun, "");
        let place = json!({"item_id": begun.get("id"), "output_index": self.item});
        self.begin(&begun);
        for fragment in fragments {
            let delta = with(&place, "delta", json!(fragment));
            self.push(Part::Content, "response.function_call_arguments.delta", delta);
        }
        let whole = with(&place, "arguments", json!(arguments));
        self.push(Part::Frame, "response.function_call_arguments.done", whole);
        self.end(&item(Progress::Ended(finish), &arguments));
    }

    fn begin(&mut self, item: &Value) {
        let data = json!({"output_index": self.item, "item": item});
        self.push(Part::Frame, "response.output_item.added", data);
    }

    fn end(&mut self, item: &Value) {
        let data = json!({"output_index": self.item, "item": item});
        self.push(Part::Frame, "response.output_item.done", data);
        self.item += 1;
    }
}

/// A copy of an object with one more field.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
    object
}
