//! Answers of the Responses API: a stream's last event holds the whole answer, and the events before it tell how
//! that came about.

mod part;

use self::part::{Part, Parts};
use crate::dialect::openai::replay::object::{Object, fields, is_list, is_string, items, value};
use crate::dialect::openai::replay::telling::Telling;
use crate::wire::json::{self, Fields};

/// The object in the event that ends the stream, as it is spelled. `None` when it is short of items that the stream
/// has told: some upstreams say them once.
pub(super) fn to_whole(events: &[u8]) -> Option<String> {
    let mut told = 0;
    for data in super::data(events) {
        let data = data?;
        let [kind, response] = json::pick(&data, ["type", "response"]).ok()?;
        // Of what stands beside the answer nothing is in it.
        let Some(kind) = kind else { continue };
        match kind.read::<String>()?.as_str() {
            "response.output_item.done" => told += 1,
            "response.failed" | "error" => return None,
            "response.completed" | "response.incomplete" => {
                let response = response?.text();
                let output = items(value(&fields(response)?, "output")?)?;
                return (output.len() >= told).then(|| response.to_owned());
            }
            _ => {}
        }
    }
    None
}

pub(super) fn to_events(whole: &str) -> Option<String> {
    let response = fields(whole)?;
    if value(&response, "error").is_some_and(json::says_something) {
        return None;
    }
    let end = match value(&response, "status")? {
        "\"completed\"" => "response.completed",
        "\"incomplete\"" => "response.incomplete",
        _ => return None,
    };
    let output = value(&response, "output")?;
    let begun = begun(&response)?;

    let mut telling = Telling::of(whole.len());
    for kind in ["response.created", "response.in_progress"] {
        telling.event(kind, &["\"response\":", &begun])?;
    }
    for (index, item) in items(output)?.into_iter().enumerate() {
        Item::read(index, item)?.tell(&mut telling)?;
    }
    telling.event(end, &["\"response\":", whole])?;
    Some(telling.finish())
}

/// The response as it was when it began.
fn begun(response: &Fields<'_>) -> Option<String> {
    let mut begun = Object::default();
    // An SDK's own sum of the output, which some servers send too.
    for (key, value) in response.iter().filter(|(key, _)| *key != "output_text") {
        let value = match key {
            "status" => "\"in_progress\"",
            "output" => "[]",
            "usage" | "completed_at" | "incomplete_details" => "null",
            _ => value,
        };
        begun.set(key, value)?;
    }
    Some(begun.to_text())
}

/// An item of the output.
struct Item<'a> {
    text: &'a str,
    fields: Fields<'a>,
    /// Where it stands in the output, as a field of its events.
    index: String,
    /// That, and its id: what events say that are about something in it.
    place: String,
}

impl<'a> Item<'a> {
    fn read(index: usize, text: &'a str) -> Option<Self> {
        let fields = fields(text)?;
        value(&fields, "type").filter(|kind| is_string(kind))?;
        let index = format!("\"output_index\":{index}");
        let id = value(&fields, "id").unwrap_or("null");
        let place = format!("\"item_id\":{id},{index}");
        Some(Self { text, fields, index, place })
    }

    fn tell(&self, telling: &mut Telling) -> Option<()> {
        // Without an id nothing can be said of what is in it.
        let has_id = value(&self.fields, "id").is_some_and(is_string);
        match value(&self.fields, "type").filter(|_| has_id) {
            Some("\"message\"") => self.tell_message(telling),
            Some("\"reasoning\"") => self.tell_reasoning(telling),
            Some("\"function_call\"") => self.tell_call("arguments", "function_call_arguments", telling),
            Some("\"custom_tool_call\"") => self.tell_call("input", "custom_tool_call_input", telling),
            _ => self.tell_in_one(telling),
        }
    }

    fn tell_in_one(&self, telling: &mut Telling) -> Option<()> {
        self.tell_added(self.text, telling)?;
        self.tell_done(telling)
    }

    fn tell_message(&self, telling: &mut Telling) -> Option<()> {
        let Some(content) = self.list("content") else { return self.tell_in_one(telling) };
        self.tell_added(&self.emptied(&["content"])?, telling)?;
        self.tell_parts(Parts::CONTENT, content, telling)?;
        self.tell_done(telling)
    }

    fn tell_reasoning(&self, telling: &mut Telling) -> Option<()> {
        let (summary, content) = (self.list("summary"), self.list("content"));
        self.tell_added(&self.emptied(&["summary", "content"])?, telling)?;
        self.tell_parts(Parts::SUMMARY, summary.unwrap_or("[]"), telling)?;
        self.tell_parts(Parts::CONTENT, content.unwrap_or("[]"), telling)?;
        self.tell_done(telling)
    }

    /// A call, the text that it was called with told as `event`.
    fn tell_call(&self, key: &str, event: &str, telling: &mut Telling) -> Option<()> {
        let Some(text) = value(&self.fields, key).filter(|text| is_string(text)) else {
            return self.tell_in_one(telling);
        };
        self.tell_added(&self.emptied(&[key])?, telling)?;
        if text != "\"\"" {
            telling.event(&format!("response.{event}.delta"), &[&self.place, ",\"delta\":", text])?;
        }
        let done = [&self.place, ",\"", key, "\":", text];
        telling.event(&format!("response.{event}.done"), &done)?;
        self.tell_done(telling)
    }

    fn tell_added(&self, item: &str, telling: &mut Telling) -> Option<()> {
        telling.event("response.output_item.added", &[&self.index, ",\"item\":", item])
    }

    fn tell_done(&self, telling: &mut Telling) -> Option<()> {
        telling.event("response.output_item.done", &[&self.index, ",\"item\":", self.text])
    }

    fn tell_parts(&self, parts: Parts, list: &str, telling: &mut Telling) -> Option<()> {
        for (index, part) in items(list)?.into_iter().enumerate() {
            let place = format!("{},\"{}\":{index}", self.place, parts.index);
            Part::read(parts, part, place)?.tell(telling)?;
        }
        Some(())
    }

    /// The item as it was before it had anything under `keys`.
    fn emptied(&self, keys: &[&str]) -> Option<String> {
        let mut item = Object::default();
        for (key, value) in self.fields.iter() {
            let before = match key {
                "status" if is_string(value) => "\"in_progress\"",
                _ if !keys.contains(&key) => value,
                _ if is_list(value) => "[]",
                _ if is_string(value) => "\"\"",
                _ => value,
            };
            item.set(key, before)?;
        }
        Some(item.to_text())
    }

    /// The text of a list.
    fn list(&self, key: &str) -> Option<&'a str> {
        value(&self.fields, key).filter(|value| is_list(value))
    }
}
