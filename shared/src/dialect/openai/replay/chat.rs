//! The choices of chat completions.

use std::collections::BTreeMap;

use crate::dialect::openai::replay::chunks::{Dialect, Gathering, is_reason, take_logprobs, take_unknown};
use crate::dialect::openai::replay::object::{
    Object, Piece, fields, is_list, is_nothing, is_scalar, is_string, items, value,
};
use crate::wire::json::Fields;

#[derive(Debug)]
pub(super) struct Chat;

impl Dialect for Chat {
    const WHOLE: &'static str = "\"chat.completion\"";
    const CHUNK: &'static str = "\"chat.completion.chunk\"";
    type Gathering = Choice;

    /// The role, what was said, and the end of it.
    fn chunks(choice: &Fields<'_>) -> Option<Vec<String>> {
        let index = value(choice, "index")?;
        let reason = value(choice, "finish_reason").filter(|reason| is_reason(reason))?;
        let (role, said) = deltas(value(choice, "message")?)?;
        // The logprobs are those of the text, or of the refusal.
        let spoken = ["content", "refusal"].into_iter().find(|key| said.iter().any(|(said, _)| said == key));
        let chunk = |delta: &str, logprobs: Option<&str>, reason: &str| {
            let mut chunk = Object::default();
            chunk.set("index", index)?;
            chunk.set("delta", delta)?;
            if let Some(logprobs) = logprobs {
                chunk.set("logprobs", logprobs)?;
            }
            chunk.set("finish_reason", reason)?;
            Some(chunk)
        };
        let whole = value(choice, "logprobs");
        let none = whole.map(|_| "null");
        let mut chunks = vec![chunk(&role.to_text(), none, "null")?.to_text()];
        for (key, value) in said {
            let mut delta = Object::default();
            delta.set(&key, value)?;
            let logprobs = if Some(key.as_str()) == spoken { whole } else { none };
            chunks.push(chunk(&delta.to_text(), logprobs, "null")?.to_text());
        }
        let mut end = chunk("{}", if spoken.is_none() { whole } else { none }, reason)?;
        let told = ["index", "message", "logprobs", "finish_reason"];
        for (key, value) in choice.iter().filter(|(key, _)| !told.contains(key)) {
            end.set(key, value)?;
        }
        chunks.push(end.to_text());
        Some(chunks)
    }
}

/// The first delta, which has the role and whatever needs no delta of its own; then a field a delta, in the order
/// in which models speak.
fn deltas(message: &str) -> Option<(Object, Vec<(String, String)>)> {
    let (message, mut first, mut said) = (fields(message)?, Object::default(), Vec::new());
    first.set("role", value(&message, "role").unwrap_or("\"assistant\""))?;
    for (key, value) in message.iter() {
        match key {
            "role" if !is_string(value) => return None,
            "role" => {}
            "content" | "refusal" if !is_string(value) && value != "null" => return None,
            // Its parts are cut where only its format knows.
            "audio" if value != "null" => return None,
            _ if is_nothing(value) || is_scalar(value) => first.set(key, value)?,
            "tool_calls" => {
                for (index, call) in items(value)?.into_iter().enumerate() {
                    said.push((key.to_owned(), format!("[{}]", with_index(call, index)?)));
                }
            }
            "content" => {
                first.set(key, "\"\"")?;
                said.push((key.to_owned(), value.to_owned()));
            }
            _ => said.push((key.to_owned(), value.to_owned())),
        }
    }
    // Clients want to see it, be it null; now it is if it was not.
    first.place("content")?;
    said.sort_by_key(|(key, _)| match key.as_str() {
        "content" => 1,
        "refusal" => 2,
        "tool_calls" | "function_call" => 3,
        "annotations" => 4,
        // Reasoning, by whatever name.
        _ => 0,
    });
    Some((first, said))
}

fn with_index(call: &str, index: usize) -> Option<String> {
    let mut indexed = Object::default();
    indexed.set("index", index.to_string())?;
    for (key, value) in fields(call)?.iter().filter(|(key, _)| *key != "index") {
        indexed.set(key, value)?;
    }
    Some(indexed.to_text())
}

#[derive(Debug, Default)]
pub(super) struct Choice {
    fields: Object,
    message: Object,
    logprobs: Option<Object>,
    tool_calls: BTreeMap<u64, Call>,
    function_call: Option<Object>,
}

impl Gathering for Choice {
    fn take(&mut self, choice: &Fields<'_>) -> Option<()> {
        for (key, value) in choice.iter() {
            match key {
                "delta" => {
                    self.fields.place("message")?;
                    self.take_delta(value)?;
                }
                // A whole answer's field in a chunk: whoever sends it means something else by one of them.
                "message" => return None,
                "logprobs" => {
                    self.fields.place(key)?;
                    take_logprobs(&mut self.logprobs, value)?;
                }
                _ => take_unknown(&mut self.fields, key, value)?,
            }
        }
        Some(())
    }

    fn finish(mut self) -> Option<Object> {
        if !self.tool_calls.is_empty() {
            let calls: Option<Vec<_>> = self.tool_calls.into_values().map(Call::finish).collect();
            self.message.set("tool_calls", format!("[{}]", calls?.join(",")))?;
        }
        if let Some(call) = self.function_call {
            self.message.set("function_call", call.to_text())?;
        }
        let role = self.message.place("role")?;
        if is_nothing(role) {
            "\"assistant\"".clone_into(role);
        }
        // Null if it never came.
        self.message.place("content")?;
        self.fields.set("message", self.message.to_text())?;
        if let Some(logprobs) = self.logprobs {
            self.fields.set("logprobs", logprobs.to_text())?;
        }
        Some(self.fields)
    }
}

impl Choice {
    fn take_delta(&mut self, delta: &str) -> Option<()> {
        if delta == "null" {
            return Some(());
        }
        for (key, value) in fields(delta)?.iter() {
            match key {
                "role" => self.message.take(key, Piece::Unchanging, value)?,
                "content" | "refusal" if !is_string(value) && value != "null" => return None,
                "audio" if value != "null" => return None,
                "tool_calls" if is_list(value) && !is_nothing(value) => {
                    self.message.place(key)?;
                    for call in items(value)? {
                        let call = fields(call)?;
                        self.tool_calls.entry(call.find("index")?.read()?).or_default().take(&call)?;
                    }
                }
                "function_call" if value != "null" => {
                    self.message.place(key)?;
                    take_function(self.function_call.get_or_insert_default(), value)?;
                }
                _ if is_string(value) => self.message.take(key, Piece::Appended, value)?,
                _ => take_unknown(&mut self.message, key, value)?,
            }
        }
        Some(())
    }
}

/// A tool call whose pieces are gathered.
#[derive(Debug, Default)]
struct Call {
    fields: Object,
    /// The object that says what is called, and with what: `function`, or `custom`.
    callee: Option<(String, Object)>,
}

impl Call {
    fn take(&mut self, call: &Fields<'_>) -> Option<()> {
        for (key, value) in call.iter() {
            match key {
                "index" => {}
                "function" | "custom" if value != "null" => {
                    self.fields.place(key)?;
                    let (known, callee) =
                        self.callee.get_or_insert_with(|| (key.to_owned(), Object::default()));
                    if known != key {
                        return None;
                    }
                    take_function(callee, value)?;
                }
                _ => self.fields.take(key, Piece::Unchanging, value)?,
            }
        }
        Some(())
    }

    fn finish(mut self) -> Option<String> {
        let (key, callee) = self.callee?;
        self.fields.set(&key, callee.to_text())?;
        Some(self.fields.to_text())
    }
}

/// Takes a piece of a function with its arguments, or of a custom tool with its input.
fn take_function(function: &mut Object, value: &str) -> Option<()> {
    for (key, value) in fields(value)?.iter() {
        match key {
            "arguments" | "input" if is_string(value) => function.take(key, Piece::Appended, value)?,
            _ => function.take(key, Piece::Unchanging, value)?,
        }
    }
    Some(())
}
