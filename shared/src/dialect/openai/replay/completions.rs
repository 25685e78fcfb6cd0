//! The choices of completions.

use crate::dialect::openai::replay::chunks::{Dialect, Gathering, is_reason, take_logprobs, take_unknown};
use crate::dialect::openai::replay::object::{Object, Piece, is_string, value};
use crate::wire::json::Fields;

#[derive(Debug)]
pub(super) struct Completions;

impl Dialect for Completions {
    const WHOLE: &'static str = "\"text_completion\"";
    const CHUNK: &'static str = "\"text_completion\"";
    type Gathering = Choice;

    /// The text, and then its end.
    fn chunks(choice: &Fields<'_>) -> Option<Vec<String>> {
        let index = value(choice, "index")?;
        let text = value(choice, "text").filter(|text| is_string(text))?;
        let reason = value(choice, "finish_reason").filter(|reason| is_reason(reason))?;
        let (mut said, mut end) = (Object::default(), Object::default());
        for (object, text, reason) in [(&mut said, text, "null"), (&mut end, "\"\"", reason)] {
            object.set("index", index)?;
            object.set("text", text)?;
            if let Some(logprobs) = value(choice, "logprobs") {
                object.set("logprobs", if reason == "null" { logprobs } else { "null" })?;
            }
            object.set("finish_reason", reason)?;
        }
        let known = ["index", "text", "logprobs", "finish_reason"];
        for (key, value) in choice.iter().filter(|(key, _)| !known.contains(key)) {
            end.set(key, value)?;
        }
        Some(vec![said.to_text(), end.to_text()])
    }
}

#[derive(Debug, Default)]
pub(super) struct Choice {
    fields: Object,
    logprobs: Option<Object>,
}

impl Gathering for Choice {
    fn take(&mut self, choice: &Fields<'_>) -> Option<()> {
        for (key, value) in choice.iter() {
            match key {
                "text" if is_string(value) => self.fields.take(key, Piece::Appended, value)?,
                "text" if value != "null" => return None,
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
        self.fields.take("text", Piece::Newest, "\"\"")?;
        if let Some(logprobs) = self.logprobs {
            self.fields.set("logprobs", logprobs.to_text())?;
        }
        Some(self.fields)
    }
}
