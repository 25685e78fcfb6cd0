//! A chat answer as a stream: a role, one token a chunk, a reason to end, perhaps the usage.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Head, head};
use crate::{
    answer::{Answer, Body},
    call::Call,
    score::{self, Frame, Part},
};

#[derive(Serialize)]
struct Chunk<'c> {
    #[serde(flatten)]
    head: Head<'c>,
    choices: Vec<Choice>,
    /// Absent unless the caller asked for usage, then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    delta: Value,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

/// The frames of a stream. With `usage` there is one more chunk, which has no choices.
pub(super) fn frames(call: &Call<'_>, id: &str, answers: &[Answer], usage: Option<Value>) -> Vec<Frame> {
    let chunk = |part, choices, usage| {
        let head = head(call, id, "chat.completion.chunk");
        Frame { bytes: score::event(&Chunk { head, choices, usage }), part }
    };
    let unreported = usage.as_ref().map(|_| Value::Null);
    let said = |index, part, delta, finish_reason| {
        let choice = Choice { index, delta, logprobs: None, finish_reason };
        chunk(part, vec![choice], unreported.clone())
    };

    let mut frames = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        frames.push(said(index, Part::Frame, opening(answer), None));
    }
    let mut deltas: Vec<_> = answers.iter().map(deltas).collect();
    // The choices take turns, as those of a real provider do.
    loop {
        let before = frames.len();
        for (index, deltas) in deltas.iter_mut().enumerate() {
            frames.extend(deltas.next().map(|(part, delta)| said(index, part, delta, None)));
        }
        if frames.len() == before {
            break;
        }
    }
    for (index, answer) in answers.iter().enumerate() {
        frames.push(said(index, Part::Frame, json!({}), Some(answer.finish.reason())));
    }
    if usage.is_some() {
        frames.push(chunk(Part::Frame, Vec::new(), usage));
    }
    frames.push(Frame::done());
    frames
}

fn opening(answer: &Answer) -> Value {
    match &answer.body {
        Body::Text(_) => json!({"role": "assistant", "content": "", "refusal": null}),
        Body::ToolCall { id, name, arguments: _ } => json!({
            "role": "assistant",
            "content": null,
            "refusal": null,
            "tool_calls": [{
                "index": 0,
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }],
        }),
    }
}

fn deltas(answer: &Answer) -> impl Iterator<Item = (Part, Value)> {
    let thoughts = answer.reasoning.iter();
    let thoughts = thoughts.map(|token| (Part::Thought, json!({"reasoning_content": token})));
    let (Body::Text(tokens) | Body::ToolCall { arguments: tokens, .. }) = &answer.body;
    let content = tokens.iter().map(|token| match &answer.body {
        Body::Text(_) => (Part::Content, json!({"content": token})),
        Body::ToolCall { .. } => {
            let calls = json!([{"index": 0, "function": {"arguments": token}}]);
            (Part::Content, json!({"tool_calls": calls}))
        }
    });
    thoughts.chain(content)
}
