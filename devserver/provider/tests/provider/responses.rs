//! The Responses API.

use std::io;

use serde_json::{Value, json};

use crate::client::{Exchange, Provider};

async fn asked(provider: &Provider, extra: &Value) -> io::Result<Exchange> {
    let mut body = json!({"model": "sim-pace-0ms", "input": "why do rivers bend?"});
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    provider.post("/v1/responses", &body).await
}

#[tokio::test]
async fn an_answer_is_a_completed_response() {
    let provider = Provider::start().await.unwrap();
    let body = asked(&provider, &json!({"instructions": "be brief"})).await.unwrap().json();
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    let part = &body["output"][0]["content"][0];
    assert_eq!(part["type"], "output_text");
    assert!(part["text"].as_str().unwrap().contains("why do rivers bend?"));
    assert!(body["usage"]["output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(body["instructions"], "be brief");
}

#[tokio::test]
async fn a_stream_numbers_its_events_and_ends_with_the_whole_response() {
    let provider = Provider::start().await.unwrap();
    let whole = asked(&provider, &json!({})).await.unwrap().json();
    let seen = asked(&provider, &json!({"stream": true})).await.unwrap();
    let events = seen.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        assert!(seen.text().contains(&format!("event: {}\n", event["type"].as_str().unwrap())));
    }
    let mut kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], deltas);
    assert_eq!(whole["output"][0]["content"], last["output"][0]["content"]);
    assert!(!seen.text().contains("[DONE]"));
}

#[tokio::test]
async fn a_capped_answer_is_incomplete() {
    let provider = Provider::start().await.unwrap();
    let events = asked(&provider, &json!({"stream": true, "max_output_tokens": 3})).await.unwrap().events();
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn tools_reasoning_and_structure_work_as_in_chat() {
    let provider = Provider::start().await.unwrap();
    let schema = json!({"type": "object", "properties": {"city": {"const": "Lyon"}}, "required": ["city"]});
    let tools =
        json!([{"type": "web_search"}, {"type": "function", "name": "weather", "parameters": schema}]);
    let extra = json!({"tools": tools, "tool_choice": "required", "stream": true, "model": "sim-reasoning"});
    let events = asked(&provider, &extra).await.unwrap().events();
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["type"], "reasoning");
    assert_eq!((&output[1]["type"], &output[1]["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(output[1]["arguments"], r#"{"city":"Lyon"}"#);
    let format = json!({"format": {"type": "json_schema", "name": "city", "schema": schema}});
    let body = asked(&provider, &json!({"text": format})).await.unwrap().json();
    assert_eq!(body["output"][0]["content"][0]["text"], r#"{"city":"Lyon"}"#);
}

#[tokio::test]
async fn input_may_be_items_of_many_kinds() {
    let provider = Provider::start().await.unwrap();
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "sunny"},
    ]);
    let body = asked(&provider, &json!({"input": input})).await.unwrap().json();
    assert!(body["output"][0]["content"][0]["text"].as_str().unwrap().contains("\"weather?\""));
    let seen = provider.post("/v1/responses", &json!({"model": "sim"})).await.unwrap();
    assert_eq!(seen.json()["error"]["param"], "input");
}
