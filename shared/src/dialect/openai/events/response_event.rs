//! An event of the Responses API.

use super::{Meaning, Observer, read_usage};
use crate::wire::json;

impl Observer {
    /// `name` is what the event itself calls it; its data says the same, or leaves it out.
    pub(super) fn see_response_event(&mut self, name: Option<&[u8]>, text: &str) -> Meaning {
        let keys = ["type", "sequence_number", "response", "delta", "error", "message", "detail", "object"];
        let Ok(picked) = json::pick(text, keys) else {
            // An event of a name that is not known means nothing, whatever its data is.
            return if name.is_some_and(is_foreign) { Meaning::Preamble } else { Meaning::Malformed };
        };
        let [kind, number, response, delta, error, message, detail, object] = picked;
        if let Some(number) = number.and_then(json::Value::read::<u64>) {
            self.sequence = number.saturating_add(1);
        }
        let name = name.and_then(|name| str::from_utf8(name).ok()).map(str::to_owned);
        let Some(kind) = kind.and_then(json::Value::read::<String>).or(name) else {
            let says = |value: Option<json::Value<'_>>| {
                value.is_some_and(|value| json::says_something(value.text()))
            };
            let is_error = object.is_some_and(|object| object.text() == "\"error\"");
            let is_error = is_error || says(error) || says(message) || says(detail);
            return if is_error { Meaning::Failure } else { Meaning::Malformed };
        };
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
            "response.failed" | "response.error" => Meaning::Failure,
            "response.created" | "response.in_progress" | "response.queued" => Meaning::Preamble,
            kind if kind.starts_with("response.") => {
                let delta = delta.map_or(0, |delta| delta.text().len().saturating_sub(2));
                if delta > 0 {
                    self.meter.count(delta);
                }
                Meaning::Content
            }
            kind if kind.ends_with("error") => Meaning::Failure,
            // `keepalive`, and whatever else an upstream tells beside its answer.
            _ => Meaning::Preamble,
        }
    }
}

/// Whether an event of this name is none of the answer's own.
fn is_foreign(name: &[u8]) -> bool {
    !name.starts_with(b"response.") && !name.ends_with(b"error")
}
