//! What an answer of choices says, put together from its chunks or read from a whole one: two answers that say the
//! same have equal contents.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expectation::says_something;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    /// `id`, `model`, `citations` and whatever else stands beside the choices.
    fields: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    usage: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Choice {
    /// `finish_reason` and what else stands beside the message.
    fields: Map<String, Value>,
    /// Text, reasoning, refusal.
    message: Map<String, Value>,
    calls: BTreeMap<u64, Map<String, Value>>,
}

/// Fields that tell of the form, not of the content.
const FORM: [&str; 4] = ["object", "obfuscation", "choices", "usage"];

impl Content {
    pub(crate) fn of_chunks<'a>(chunks: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut content = Self::default();
        for chunk in chunks {
            content.take(chunk, "delta");
        }
        content
    }

    pub(crate) fn of_whole(answer: &Value) -> Self {
        let mut content = Self::default();
        content.take(answer, "message");
        content
    }

    fn take(&mut self, answer: &Value, message: &str) {
        for (key, value) in answer.as_object().into_iter().flatten() {
            if !FORM.contains(&key.as_str()) {
                newest(&mut self.fields, key, value);
            }
        }
        if says_something(&answer["usage"]) {
            self.usage = Some(answer["usage"].clone());
        }
        for choice in answer["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap_or_default();
            self.choices.entry(index).or_default().take(choice, message);
        }
    }

    /// What is told otherwise, of `other` and of this one.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = Vec::new();
        compare("", &self.fields, &other.fields, &mut all);
        if self.usage != other.usage {
            all.push(format!("usage {:?}, not {:?}", other.usage, self.usage));
        }
        let indices = |content: &Self| content.choices.keys().copied().collect::<Vec<_>>();
        if indices(self) != indices(other) {
            all.push(format!("choices {:?}, not {:?}", indices(other), indices(self)));
        }
        for (index, choice) in &self.choices {
            let Some(had) = other.choices.get(index) else { continue };
            let place = format!("choices[{index}].");
            compare(&place, &choice.fields, &had.fields, &mut all);
            compare(&format!("{place}message."), &choice.message, &had.message, &mut all);
            if choice.calls != had.calls {
                all.push(format!("{place}tool_calls {:?}, not {:?}", had.calls, choice.calls));
            }
        }
        all
    }
}

fn compare(place: &str, wanted: &Map<String, Value>, had: &Map<String, Value>, all: &mut Vec<String>) {
    let mut keys: Vec<_> = wanted.keys().chain(had.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (wanted, had) = (wanted.get(key), had.get(key));
        if wanted != had {
            all.push(format!("{place}{key} {had:?}, not {wanted:?}"));
        }
    }
}

impl Choice {
    fn take(&mut self, choice: &Value, message: &str) {
        for (key, value) in choice.as_object().into_iter().flatten() {
            match key.as_str() {
                "index" => {}
                "text" => append(&mut self.fields, key, value),
                "logprobs" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        append(&mut self.fields, &format!("logprobs.{key}"), value);
                    }
                }
                key if key == message => self.take_message(value),
                key => newest(&mut self.fields, key, value),
            }
        }
    }

    fn take_message(&mut self, message: &Value) {
        for (key, value) in message.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("tool_calls", Value::Array(calls)) => {
                    for (place, call) in calls.iter().enumerate() {
                        // A whole answer numbers them by their places.
                        let index = call["index"].as_u64().unwrap_or(place as u64);
                        take_call(self.calls.entry(index).or_default(), "", call);
                    }
                }
                ("function_call", call) => take_call(&mut self.message, "function_call.", call),
                // Some leave it to be understood.
                ("role", Value::String(role)) if role == "assistant" => {}
                ("role", _) => newest(&mut self.message, key, value),
                (_, Value::String(_)) => append(&mut self.message, key, value),
                _ => newest(&mut self.message, key, value),
            }
        }
    }
}

fn take_call(taken: &mut Map<String, Value>, place: &str, call: &Value) {
    for (key, value) in call.as_object().into_iter().flatten() {
        let place = format!("{place}{key}");
        match (key.as_str(), value) {
            ("index", _) => {}
            ("function" | "custom", _) => take_call(taken, &format!("{place}."), value),
            ("arguments" | "input", _) => append(taken, &place, value),
            _ => newest(taken, &place, value),
        }
    }
}

/// The last one that says something counts.
fn newest(fields: &mut Map<String, Value>, key: &str, value: &Value) {
    if says_something(value) {
        fields.insert(key.to_owned(), value.clone());
    }
}

/// Texts and lists grow.
fn append(fields: &mut Map<String, Value>, key: &str, value: &Value) {
    if !says_something(value) {
        return;
    }
    match (fields.get_mut(key), value) {
        (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
        (Some(before), _) => *before = value.clone(),
        (None, _) => _ = fields.insert(key.to_owned(), value.clone()),
    }
}
