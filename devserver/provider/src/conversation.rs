//! The prompt of a chat or of the Responses API: texts in the order in which they were said.

use serde_json::Value;

use crate::{fields::Fields, refusal::Refusal, seed::Seed, usage};

#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation<'b> {
    texts: Vec<&'b str>,
    messages: usize,
    /// What the user said last.
    last: Option<&'b str>,
}

impl<'b> Conversation<'b> {
    /// One text that is a message of its own.
    pub(crate) fn say(&mut self, role: &str, text: &'b str) {
        self.messages += 1;
        self.hear(role, text);
    }

    /// A message whose `content` is a string, an array of parts, or nothing.
    pub(crate) fn message(&mut self, message: &Fields<'b>) -> Result<(), Refusal> {
        let role = message.text("role")?.ok_or_else(|| message.missing("role"))?;
        self.messages += 1;
        match message.value("content") {
            None => {}
            Some(Value::String(text)) => self.hear(role, text),
            Some(Value::Array(_)) => {
                for part in message.objects("content")? {
                    if let Some(text) = part.text("text")? {
                        self.hear(role, text);
                    }
                }
            }
            Some(_) => return Err(message.wrong("content", "a string or an array of parts")),
        }
        Ok(())
    }

    /// An item that is no message, such as the result of a tool.
    pub(crate) fn item(&mut self, output: Option<&'b str>) {
        self.messages += 1;
        self.texts.extend(output);
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed::of(self.texts.iter().map(|text| text.as_bytes()))
    }

    pub(crate) fn last_words(&self) -> String {
        self.last.or(self.texts.last().copied()).unwrap_or_default().to_owned()
    }

    pub(crate) fn tokens(&self) -> usize {
        usage::prompt_tokens(self.texts.iter().copied()) + usage::message_tokens(self.messages)
    }

    fn hear(&mut self, role: &str, text: &'b str) {
        self.texts.push(text);
        if role == "user" {
            self.last = Some(text);
        }
    }
}
