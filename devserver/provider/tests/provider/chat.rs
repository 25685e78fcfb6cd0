//! Chat completions of a healthy provider.

use serde_json::{Value, json};

use crate::client::Provider;

fn asked(extra: &Value) -> Value {
    let mut body = json!({
        "model": "sim-pace-0ms",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "why do rivers bend?"}]},
        ],
    });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_answer_has_the_shape_of_openai_and_quotes_the_question() {
    let provider = Provider::start().await.unwrap();
    let seen = provider.chat(&asked(&json!({"n": 2}))).await.unwrap();
    let body = seen.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "sim-pace-0ms");
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(body["choices"].as_array().unwrap().len(), 2);
    let message = &body["choices"][0]["message"];
    assert_eq!(message["role"], "assistant");
    assert!(message["content"].as_str().unwrap().contains("\"why do rivers bend?\""));
    assert_ne!(message["content"], body["choices"][1]["message"]["content"]);
    assert_eq!(body["choices"][1]["finish_reason"], "stop");
    let usage = &body["usage"];
    // 8 + 19 bytes in two messages.
    assert_eq!(usage["prompt_tokens"], 7 + 8);
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_id() {
    let provider = Provider::start().await.unwrap();
    let other = Provider::start().await.unwrap();
    let first = provider.chat(&asked(&json!({}))).await.unwrap().json();
    let second = other.chat(&asked(&json!({}))).await.unwrap().json();
    assert_eq!((&first["id"], &first["choices"]), (&second["id"], &second["choices"]));
    let third = provider.chat(&asked(&json!({"temperature": 1}))).await.unwrap().json();
    assert_ne!(first["id"], third["id"]);
    assert_eq!(first["choices"], third["choices"]);
}

#[tokio::test]
async fn a_stream_brings_the_same_text_a_token_a_chunk() {
    let provider = Provider::start().await.unwrap();
    let whole = provider.chat(&asked(&json!({}))).await.unwrap().json();
    let seen = provider.chat(&asked(&json!({"stream": true}))).await.unwrap();
    assert_eq!(seen.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(seen.content().concat(), whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(whole["usage"]["completion_tokens"], seen.content().len());
    let events = seen.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[0]["object"], "chat.completion.chunk");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    assert_eq!(seen.data().last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn usage_comes_in_one_more_chunk_when_asked_for() {
    let provider = Provider::start().await.unwrap();
    let extra = json!({"stream": true, "stream_options": {"include_usage": true}, "n": 3});
    let seen = provider.chat(&asked(&extra)).await.unwrap();
    let events = seen.events();
    let (last, others) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["completion_tokens"].as_u64().unwrap() > 60);
    assert!(others.iter().all(|event| event.get("usage") == Some(&Value::Null)));
    let finished = others.iter().filter(|event| event["choices"][0]["finish_reason"] == "stop");
    assert_eq!(finished.count(), 3);
}

#[tokio::test]
async fn max_tokens_cuts_an_answer_for_its_length() {
    let provider = Provider::start().await.unwrap();
    for name in ["max_tokens", "max_completion_tokens"] {
        let body = provider.chat(&asked(&json!({name: 4}))).await.unwrap().json();
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["completion_tokens"], 4);
    }
}

#[tokio::test]
async fn reasoning_comes_before_content() {
    let provider = Provider::start().await.unwrap();
    let extra = json!({"model": "sim-reasoning-pace-0ms"});
    let whole = provider.chat(&asked(&extra)).await.unwrap().json();
    let thought = whole["choices"][0]["message"]["reasoning_content"].as_str().unwrap();
    assert_eq!(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], 12);
    let extra = json!({"model": "sim-reasoning-pace-0ms", "stream": true});
    let events = provider.chat(&asked(&extra)).await.unwrap().events();
    let delta = |event: &Value, name: &str| event["choices"][0]["delta"][name].as_str().map(str::to_owned);
    let thoughts: String = events.iter().filter_map(|event| delta(event, "reasoning_content")).collect();
    assert_eq!(thoughts, thought);
    let last_thought = events.iter().rposition(|event| delta(event, "reasoning_content").is_some());
    let says = |event: &Value| delta(event, "content").is_some_and(|said| !said.is_empty());
    assert!(last_thought < events.iter().position(says));
}

fn weather() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
        "required": ["city", "days"],
    });
    json!([
        {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
        {"type": "function", "function": {"name": "weather", "parameters": parameters}},
    ])
}

#[tokio::test]
async fn a_demanded_tool_is_called_with_arguments_that_fit() {
    let provider = Provider::start().await.unwrap();
    let choice = json!({"type": "function", "function": {"name": "weather"}});
    let extra = json!({"tools": weather(), "tool_choice": choice});
    let body = provider.chat(&asked(&extra)).await.unwrap().json();
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    let call = &message["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(call["function"]["name"], "weather");
    let whole = call["function"]["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(whole).unwrap();
    assert!(arguments["city"].is_string());
    assert!((1..=7).contains(&arguments["days"].as_u64().unwrap()));

    let extra = json!({"tools": weather(), "tool_choice": choice, "stream": true});
    let events = provider.chat(&asked(&extra)).await.unwrap().events();
    let calls = events.iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
    let fragments: String = calls.filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(fragments, whole);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_tool_is_called_when_required_or_scripted_and_else_not() {
    let provider = Provider::start().await.unwrap();
    let table = [
        (json!({"tools": weather(), "tool_choice": "required"}), Some("clock")),
        (json!({"tools": weather(), "model": "sim-tools"}), Some("clock")),
        (json!({"model": "sim-tools"}), Some("simulated_tool")),
        (json!({"tools": weather(), "tool_choice": "auto"}), None),
        (json!({"tools": weather()}), None),
    ];
    for (extra, name) in table {
        let body = provider.chat(&asked(&extra)).await.unwrap().json();
        let call = &body["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
        assert_eq!(call.as_str(), name, "{extra}");
    }
}

#[tokio::test]
async fn structured_output_satisfies_its_schema() {
    let provider = Provider::start().await.unwrap();
    let schema = json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["river", "lake"]},
            "depths": {"type": "array", "items": {"$ref": "#/$defs/depth"}},
        },
        "required": ["kind", "depths"],
        "additionalProperties": false,
        "$defs": {"depth": {"type": "number", "minimum": 0, "maximum": 10}},
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "water", "schema": schema}});
    let extra = json!({"response_format": format, "stream": true});
    let seen = provider.chat(&asked(&extra)).await.unwrap();
    let said: Value = serde_json::from_str(&seen.content().concat()).unwrap();
    assert!(said["kind"] == "river" || said["kind"] == "lake");
    assert!(said["depths"].as_array().unwrap().iter().all(|depth| depth.as_f64().is_some()));

    let extra = json!({"response_format": {"type": "json_object"}});
    let body = provider.chat(&asked(&extra)).await.unwrap().json();
    let said = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(said).unwrap().is_object());
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_the_parameter_it_is_about() {
    let provider = Provider::start().await.unwrap();
    let table = [
        (json!([]), 400, None),
        (json!({"messages": []}), 400, Some("model")),
        (json!({"model": 7}), 400, Some("model")),
        (json!({"model": "gpt-4o", "messages": []}), 404, Some("model")),
        (json!({"model": "sim-bogus", "messages": []}), 404, Some("model")),
        (json!({"model": "sim"}), 400, Some("messages")),
        (json!({"model": "sim", "messages": []}), 400, Some("messages")),
        (json!({"model": "sim", "messages": [1]}), 400, Some("messages[0]")),
        (json!({"model": "sim", "messages": [{"content": "a"}]}), 400, Some("messages[0].role")),
        (asked(&json!({"n": 9})), 400, Some("n")),
        (asked(&json!({"stream": "yes"})), 400, Some("stream")),
        (asked(&json!({"max_tokens": -1})), 400, Some("max_tokens")),
        (asked(&json!({"tool_choice": "required"})), 400, Some("tool_choice")),
        (asked(&json!({"response_format": {"type": "xml"}})), 400, Some("response_format.type")),
    ];
    for (body, status, param) in table {
        let seen = provider.chat(&body).await.unwrap();
        assert_eq!(seen.status, status, "{body}");
        assert_eq!(seen.json()["error"]["param"].as_str(), param, "{body}");
        assert_eq!(seen.json()["error"]["type"], "invalid_request_error", "{body}");
    }
}
