//! The parts of an item: what a message says, what reasoning comes down to.

use crate::dialect::openai::replay::object::{Object, fields, is_list, is_string, items, value};
use crate::dialect::openai::replay::telling::Telling;
use crate::wire::json::Fields;

/// How the parts of a list are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// What an event calls the place in the list.
    pub(super) index: &'static str,
    added: &'static str,
    done: &'static str,
}

impl Parts {
    pub(super) const CONTENT: Self = Self {
        index: "content_index",
        added: "response.content_part.added",
        done: "response.content_part.done",
    };
    pub(super) const SUMMARY: Self = Self {
        index: "summary_index",
        added: "response.reasoning_summary_part.added",
        done: "response.reasoning_summary_part.done",
    };
}

#[derive(Debug)]
pub(super) struct Part<'a> {
    parts: Parts,
    text: &'a str,
    fields: Fields<'a>,
    /// What each of its events begins with: which part of which item it is about.
    place: String,
}

impl<'a> Part<'a> {
    pub(super) fn read(parts: Parts, text: &'a str, place: String) -> Option<Self> {
        Some(Self { parts, text, fields: fields(text)?, place })
    }

    pub(super) fn tell(&self, telling: &mut Telling) -> Option<()> {
        let (key, event) = match value(&self.fields, "type")? {
            "\"output_text\"" => ("text", "response.output_text"),
            "\"reasoning_text\"" => ("text", "response.reasoning_text"),
            "\"summary_text\"" => ("text", "response.reasoning_summary_text"),
            "\"refusal\"" => ("refusal", "response.refusal"),
            _ => ("", ""),
        };
        let said = value(&self.fields, key).filter(|said| is_string(said));
        let Some(said) = said else {
            self.tell_part(self.parts.added, self.text, telling)?;
            return self.tell_part(self.parts.done, self.text, telling);
        };
        self.tell_part(self.parts.added, &self.emptied(key)?, telling)?;
        // Only events of a text have room for them, and there the SDKs want a list.
        let logprobs = match (event, self.list("logprobs")) {
            ("response.output_text", logprobs) => format!(",\"logprobs\":{}", logprobs.unwrap_or("[]")),
            _ => String::new(),
        };
        if said != "\"\"" {
            telling.event(&format!("{event}.delta"), &[&self.place, ",\"delta\":", said, &logprobs])?;
        }
        for (index, annotation) in items(self.list("annotations").unwrap_or("[]"))?.into_iter().enumerate() {
            let index = index.to_string();
            let fields = [&self.place, ",\"annotation_index\":", &index, ",\"annotation\":", annotation];
            telling.event("response.output_text.annotation.added", &fields)?;
        }
        telling.event(&format!("{event}.done"), &[&self.place, ",\"", key, "\":", said, &logprobs])?;
        self.tell_part(self.parts.done, self.text, telling)
    }

    fn tell_part(&self, event: &str, part: &str, telling: &mut Telling) -> Option<()> {
        telling.event(event, &[&self.place, ",\"part\":", part])
    }

    /// The part as it was before anything was said.
    fn emptied(&self, said: &str) -> Option<String> {
        let mut part = Object::default();
        for (key, value) in self.fields.iter() {
            let before = match key {
                "annotations" | "logprobs" if is_list(value) => "[]",
                _ if key == said => "\"\"",
                _ => value,
            };
            part.set(key, before)?;
        }
        Some(part.to_text())
    }

    /// The text of a list.
    fn list(&self, key: &str) -> Option<&'a str> {
        value(&self.fields, key).filter(|value| is_list(value))
    }
}
