//! What events of the Responses API should tell of a whole response.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::wire::Told;

/// The response that a stream ends with, if the response holds every item that the stream tells of.
pub(crate) fn final_response<'a>(events: impl IntoIterator<Item = &'a Value>) -> Option<&'a Value> {
    let mut told = 0;
    for event in events {
        match event["type"].as_str() {
            Some("response.output_item.done") => told += 1,
            Some("response.completed" | "response.incomplete") => {
                let response = &event["response"];
                return response["output"].as_array().filter(|items| items.len() >= told).map(|_| response);
            }
            _ => {}
        }
    }
    None
}

/// What is wrong with a stream that should tell of `response`.
pub(crate) fn faults(response: &Value, stream: &[Told]) -> Vec<String> {
    let (mut faults, mut events) = (Vec::new(), Vec::new());
    for (number, told) in stream.iter().enumerate() {
        let Told::Event { name, data } = told else {
            faults.push(format!("{told:?} is no event"));
            continue;
        };
        if name.as_deref() != data["type"].as_str() {
            faults.push(format!("event {number} is called {name:?} and is {}", data["type"]));
        }
        if data["sequence_number"] != number {
            faults.push(format!("event {number} has the number {}", data["sequence_number"]));
        }
        events.push(data);
    }
    let last = events.last().map_or(&Value::Null, |last| &last["response"]);
    if last != response {
        faults.push(format!("its last event holds {last}, not {response}"));
    }
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let items: Vec<_> = done.map(|event| &event["item"]).collect();
    let output = response["output"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !items.iter().copied().eq(output) {
        faults.push(format!("its items are {items:?}, not {output:?}"));
    }
    let (told, wanted) = (deltas(&events), texts(output));
    if told != wanted {
        faults.push(format!("its deltas say {told:?}, not {wanted:?}"));
    }
    faults
}

/// A text of a response: the item, the kind of text, and the part of the item.
type Place = (u64, String, u64);

fn deltas(events: &[&Value]) -> BTreeMap<Place, String> {
    let mut texts = BTreeMap::<Place, String>::new();
    for event in events {
        let kind =
            event["type"].as_str().and_then(|kind| kind.strip_prefix("response.")?.strip_suffix(".delta"));
        let (Some(kind), Some(delta)) = (kind, event["delta"].as_str()) else { continue };
        let part = event["content_index"].as_u64().or(event["summary_index"].as_u64()).unwrap_or_default();
        let item = event["output_index"].as_u64().unwrap_or_default();
        *texts.entry((item, kind.to_owned(), part)).or_default() += delta;
    }
    texts
}

/// The texts of items that can be told in deltas. An item without an id cannot.
fn texts(output: &[Value]) -> BTreeMap<Place, String> {
    let mut texts = BTreeMap::new();
    let with_id = output.iter().zip(0..).filter(|(item, _)| item["id"].is_string());
    for (item, index) in with_id {
        let mut note = |kind: &str, part: u64, text: &Value| {
            if let Some(text) = text.as_str().filter(|text| !text.is_empty()) {
                texts.insert((index, kind.to_owned(), part), text.to_owned());
            }
        };
        let list = |key: &str| item[key].as_array().into_iter().flatten().zip(0..);
        match item["type"].as_str() {
            Some("message" | "reasoning") => {
                for (part, place) in list("content") {
                    match part["type"].as_str() {
                        Some("output_text") => note("output_text", place, &part["text"]),
                        Some("reasoning_text") => note("reasoning_text", place, &part["text"]),
                        Some("refusal") => note("refusal", place, &part["refusal"]),
                        _ => {}
                    }
                }
                for (part, place) in list("summary") {
                    note("reasoning_summary_text", place, &part["text"]);
                }
            }
            Some("function_call") => note("function_call_arguments", 0, &item["arguments"]),
            Some("custom_tool_call") => note("custom_tool_call_input", 0, &item["input"]),
            _ => {}
        }
    }
    texts
}
