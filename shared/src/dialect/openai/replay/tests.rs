use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Whole answers as upstreams give them.
const WHOLE: &[(&str, Operation, &str)] = &[
    (
        "a text, on several lines as OpenAI writes it",
        Operation::Chat,
        r#"{
  "id": "chatcmpl-B1",
  "object": "chat.completion",
  "created": 1741569952,
  "model": "gpt-4.1-2025-04-14",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Hello! \"How\"\tcan I\nhelp?",
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 }
  },
  "service_tier": "default",
  "system_fingerprint": null
}
"#,
    ),
    (
        "two choices, out of order",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[
            {"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"length"},
            {"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#,
    ),
    (
        "tool calls",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{
            "role":"assistant","content":null,"tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"now","arguments":"{\"zone\": \"UTC\"}"}},
            {"id":"call_2","type":"function","function":{"name":"noop","arguments":""},"extra_content":{"k":"s"}},
            {"id":"call_3","type":"custom","custom":{"name":"sh","input":"ls\n"}}]},
            "logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    ),
    (
        "a function call of old",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{
            "role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
            "finish_reason":"function_call"}]}"#,
    ),
    (
        "a refusal with logprobs",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{
            "role":"assistant","content":null,"refusal":"I can't."},"logprobs":{"content":null,"refusal":[
            {"token":"I","logprob":-0.10,"bytes":[73],"top_logprobs":[]}]},"finish_reason":"stop"}]}"#,
    ),
    (
        "logprobs",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{
            "role":"assistant","content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.1,"bytes":[72,105],
            "top_logprobs":[{"token":"Hi","logprob":-0.1,"bytes":null}]}],"refusal":null},"finish_reason":"stop"}]}"#,
    ),
    (
        "reasoning, citations, fields that nobody knows",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","provider":"p","citations":["u"],"choices":[
            {"index":0,"message":{"role":"assistant","content":"42","reasoning_content":"six times nine",
            "reasoning":null,"reasoning_details":[{"type":"reasoning.text","text":"t","index":0}],
            "annotations":[{"type":"url_citation","url_citation":{"url":"u","start_index":0}}],"x":7,"y":true,
            "z":{"a":[1]},"tool_calls":[]},"finish_reason":"stop","stop_reason":null,"token_ids":[1,2],
            "content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#,
    ),
    (
        "every kind of letter",
        Operation::Chat,
        r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{
            "role":"assistant","content":"é 🦀 \ud83e\udd80 \u0000 \\n data: [DONE]\n\n  \u2028"},
            "finish_reason":"stop"}]}"#,
    ),
    (
        "nothing said",
        Operation::Chat,
        r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":""},
            "finish_reason":"length"}]}"#,
    ),
    (
        "completions",
        Operation::Completions,
        r#"{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[
            {"text":"\n\nHi 🦀","index":0,"logprobs":{"tokens":["\n"],"token_logprobs":[-0.5],
            "top_logprobs":[{"\n":-0.5}],"text_offset":[0]},"finish_reason":"length","stop_reason":"x"},
            {"text":"","index":1,"logprobs":null,"finish_reason":"stop"}],
            "usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#,
    ),
    ("a response", Operation::Responses, RESPONSE),
    (
        "a response that was cut off",
        Operation::Responses,
        r#"{"id":"resp_1","object":"response","status":"incomplete","error":null,
            "incomplete_details":{"reason":"max_output_tokens"},"output":[],"usage":{"input_tokens":1}}"#,
    ),
];

const RESPONSE: &str = r#"{
  "id": "resp_1", "object": "response", "created_at": 1741476777, "status": "completed", "error": null,
  "incomplete_details": null, "model": "gpt-4o-2024-08-06", "completed_at": 1741476778, "tools": [],
  "output": [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Thinking"}],
     "encrypted_content": "x"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}",
     "status": "completed"},
    {"type": "custom_tool_call", "id": "ct_1", "call_id": "call_2", "name": "sh", "input": "ls"},
    {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
      {"type": "output_text", "text": "Hi 🦀", "annotations": [{"type": "file_path", "file_id": "f", "index": 0}],
       "logprobs": []},
      {"type": "refusal", "refusal": "No."}]}
  ],
  "usage": {"input_tokens": 328, "output_tokens": 52, "total_tokens": 380}
}"#;

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The events' data, the terminator of chat left out.
fn events_of(events: &[u8]) -> Vec<Value> {
    let data = sse::frames(events).map(|frame| frame.data.unwrap());
    data.filter(|data| **data != *b"[DONE]").map(|data| read(&data)).collect()
}

/// By `index`, as the events have them.
fn in_order(mut whole: Value) -> Value {
    if let Some(choices) = whole["choices"].as_array_mut() {
        choices.sort_by_key(|choice| choice["index"].as_u64());
    }
    whole
}

fn is_told_as_if_live(operation: Operation, events: &Bytes, label: &str) {
    let mut observer = Observer::new(operation, false);
    let mut meanings: Vec<_> = sse::frames(events).map(|frame| observer.see(&frame).0).collect();
    assert_eq!(meanings.pop(), Some(Meaning::Terminator), "{label}");
    for meaning in meanings {
        assert!(matches!(meaning, Meaning::Preamble | Meaning::Content), "{label}: {meaning:?}");
    }
    for frame in sse::frames(events) {
        let lines = frame.raw.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
        assert_eq!(lines, 2 + usize::from(frame.event.is_some()), "{label}: one line of data");
    }
}

#[test]
fn a_whole_answer_comes_back_from_its_events() {
    for (label, operation, whole) in WHOLE {
        let events = to_events(*operation, whole.as_bytes(), UsageChunk::Wanted).expect(label);
        is_told_as_if_live(*operation, &events, label);
        let back = to_whole(*operation, &events).expect(label);
        assert_eq!(in_order(read(&back)), in_order(read(whole.as_bytes())), "{label}");
    }
}

#[test]
fn a_chat_is_told_as_openai_tells_it() {
    let whole =
        br#"{"id":"c","object":"chat.completion","created":1,"model":"m","x":[2],"choices":[{"index":0,
        "message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],
        "usage":{"total_tokens":3}}"#;
    let head = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m""#;
    let delta = |delta: &str, end: &str| {
        format!(r#""choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{end}}}]"#)
    };
    let role = delta(r#""role":"assistant","content":"","refusal":null"#, "null");
    let (said, end) = (delta(r#""content":"Hi""#, "null"), delta("", "\"stop\""));
    for (usage, foot, last) in [
        (UsageChunk::Unwanted, "", String::new()),
        (
            UsageChunk::Wanted,
            r#","usage":null"#,
            format!("data: {head},\"choices\":[],\"usage\":{{\"total_tokens\":3}}}}\n\n"),
        ),
    ] {
        let expected = format!(
            "data: {head},\"x\":[2],{role}{foot}}}\n\ndata: {head},{said}{foot}}}\n\ndata: {head},{end}{foot}}}\n\n\
             {last}data: [DONE]\n\n"
        );
        assert_eq!(to_events(Operation::Chat, whole, usage).unwrap(), expected);
    }
}

#[test]
fn a_usage_that_nobody_reported_has_no_chunk() {
    let whole = br#"{"choices":[{"index":0,"text":"Hi","finish_reason":"stop"}],"usage":null}"#;
    let events = to_events(Operation::Completions, whole, UsageChunk::Wanted).unwrap();
    assert_eq!(events, to_events(Operation::Completions, whole, UsageChunk::Unwanted).unwrap());
    assert!(events_of(&events).iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn a_response_is_told_as_openai_tells_it() {
    let events = to_events(Operation::Responses, RESPONSE.as_bytes(), UsageChunk::Unwanted).unwrap();
    let told = events_of(&events);
    for ((number, event), frame) in told.iter().enumerate().zip(sse::frames(&events)) {
        assert_eq!(event["sequence_number"], number);
        assert_eq!(event["type"].as_str().map(str::as_bytes), frame.event);
    }
    let told: Vec<String> = told.iter().map(in_short).collect();
    let expected = [
        "created in_progress 0",
        "in_progress in_progress 0",
        r#"output_item.added 0 {"encrypted_content":"x","id":"rs_1","summary":[],"type":"reasoning"}"#,
        r#"reasoning_summary_part.added 0 0 rs_1 {"text":"","type":"summary_text"}"#,
        r#"reasoning_summary_text.delta 0 0 rs_1 "Thinking""#,
        r#"reasoning_summary_text.done 0 0 rs_1 "Thinking""#,
        r#"reasoning_summary_part.done 0 0 rs_1 {"text":"Thinking","type":"summary_text"}"#,
        "output_item.done 0",
        r#"output_item.added 1 {"action":{"type":"search"},"id":"ws_1","status":"completed","type":"web_search_call"}"#,
        "output_item.done 1",
        r#"output_item.added 2 {"arguments":"","call_id":"call_1","id":"fc_1","name":"f","status":"in_progress","type":"function_call"}"#,
        r#"function_call_arguments.delta 2 fc_1 "{\"a\":1}""#,
        r#"function_call_arguments.done 2 fc_1 "{\"a\":1}""#,
        "output_item.done 2",
        r#"output_item.added 3 {"call_id":"call_2","id":"ct_1","input":"","name":"sh","type":"custom_tool_call"}"#,
        r#"custom_tool_call_input.delta 3 ct_1 "ls""#,
        r#"custom_tool_call_input.done 3 ct_1 "ls""#,
        "output_item.done 3",
        r#"output_item.added 4 {"content":[],"id":"msg_1","role":"assistant","status":"in_progress","type":"message"}"#,
        r#"content_part.added 4 0 msg_1 {"annotations":[],"logprobs":[],"text":"","type":"output_text"}"#,
        r#"output_text.delta 4 0 msg_1 "Hi 🦀" []"#,
        r#"output_text.annotation.added 4 0 msg_1 0 {"file_id":"f","index":0,"type":"file_path"}"#,
        r#"output_text.done 4 0 msg_1 "Hi 🦀" []"#,
        r#"content_part.done 4 0 msg_1 {"annotations":[{"file_id":"f","index":0,"type":"file_path"}],"logprobs":[],"text":"Hi 🦀","type":"output_text"}"#,
        r#"content_part.added 4 1 msg_1 {"refusal":"","type":"refusal"}"#,
        r#"refusal.delta 4 1 msg_1 "No.""#,
        r#"refusal.done 4 1 msg_1 "No.""#,
        r#"content_part.done 4 1 msg_1 {"refusal":"No.","type":"refusal"}"#,
        "output_item.done 4",
        "completed completed 5",
    ];
    assert_eq!(told, expected);
}

/// An event of the Responses API on a line: what its fields say, in a fixed order.
fn in_short(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap().strip_prefix("response.").unwrap();
    let mut line = vec![kind.to_owned()];
    if let Some(response) = event.get("response") {
        line.push(response["status"].as_str().unwrap().to_owned());
        line.push(response["output"].as_array().unwrap().len().to_string());
        assert_eq!(response["usage"].is_null(), kind != "completed");
    }
    let keys =
        ["output_index", "content_index", "summary_index", "item_id", "annotation_index", "annotation"];
    let said = ["part", "delta", "text", "refusal", "arguments", "input", "logprobs"];
    for key in keys.into_iter().chain(said) {
        let value = event.get(key);
        line.extend(value.map(|value| {
            value.as_str().filter(|_| key == "item_id").map_or_else(|| value.to_string(), str::to_owned)
        }));
    }
    if kind == "output_item.added" {
        line.push(event["item"].to_string());
    }
    if kind == "output_item.done" {
        let index = event["output_index"].to_string();
        assert_eq!(Some(&event["item"]), read(RESPONSE.as_bytes()).pointer(&format!("/output/{index}")));
    }
    line.join(" ")
}

#[test]
fn values_stay_as_they_are_spelled() {
    let chat = r#"{"id":"c","created":0.10,"x":1e400,"y":123456789012345678901234567890,"choices":[{"index":0,"message":
        {"role":"assistant","content":"\u00e9\ud83d","seed":-0.0E+1},"finish_reason":"stop","odds":1.500}]}"#;
    let completion = r#"{"created":0.10,"x":1e400,"choices":[{"index":0,"text":"\u00e9\ud83d","finish_reason":"stop",
        "y":123456789012345678901234567890,"seed":-0.0E+1,"odds":1.500}]}"#;
    let response = r#"{"status":"completed","created_at":0.10,"x":1e400,"output":[{"type":"message","id":"m","content":[{
        "type":"output_text","text":"\u00e9\ud83d","y":123456789012345678901234567890,"seed":-0.0E+1,"odds":1.500}]}]}"#;
    for (operation, whole) in
        [(Operation::Chat, chat), (Operation::Completions, completion), (Operation::Responses, response)]
    {
        let events = to_events(operation, whole.as_bytes(), UsageChunk::Unwanted).unwrap();
        let back = to_whole(operation, &events).unwrap();
        for value in
            ["0.10", "1e400", "123456789012345678901234567890", r#""\u00e9\ud83d""#, "-0.0E+1", "1.500"]
        {
            for (label, text) in [("events", &events), ("whole", &back)] {
                assert!(str::from_utf8(text).unwrap().contains(value), "{operation:?}: {label}: {value}");
            }
        }
    }
}

#[test]
fn pieces_come_together() {
    for (label, events, expected) in [
        (
            "a chat of Azure's, which says first what it has filtered",
            r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"c","model":"m","object":"chat.completion.chunk","system_fingerprint":"fp","obfuscation":"xyz"}

: ping

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false}},"delta":{"content":"Hi"},"finish_reason":null,"index":0,"logprobs":null}],"created":1,"id":"c","model":"m","object":"chat.completion.chunk","usage":null}

data: {"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],"created":1,"id":"c","model":"m","object":"chat.completion.chunk","usage":null}

data: {"choices":[],"created":1,"id":"c","model":"m","object":"chat.completion.chunk","usage":{"prompt_tokens":1}}

data: [DONE]

"#,
            json!({"choices": [{"content_filter_results": {"hate": {"filtered": false}}, "message": {"content": "Hi",
                "role": "assistant"}, "finish_reason": "stop", "index": 0, "logprobs": null}], "created": 1, "id": "c",
                "model": "m", "object": "chat.completion", "prompt_filter_results": [{"prompt_index": 0}],
                "system_fingerprint": "fp", "usage": {"prompt_tokens": 1}}),
        ),
        (
            "tool calls in pieces, interleaved",
            r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{\"x\""}},{"index":0,"id":null,"function":{"name":null,"arguments":":\ud83e"}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\udd80}"}}]}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]"#,
            json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":🦀}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}]}),
        ),
        (
            "choices that take turns, reasoning, logprobs, a running usage",
            r#"data: {"choices":[{"index":1,"delta":{"role":"assistant","content":null,"reasoning_content":"h"}},{"index":0,"delta":{"content":"a"},"logprobs":{"content":[1],"refusal":null}}],"usage":{"prompt_tokens":1}}

data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"b"},"logprobs":{"content":[ ],"refusal":null}},{"index":1,"delta":{"reasoning_content":"m","content":null}}]}

data: {"choices":[{"index":0,"delta":{"content":"c"},"logprobs":{"content":[2,3]},"finish_reason":"stop"},{"index":1,"delta":{"content":"d","reasoning_content":null},"finish_reason":"length"}],"usage":{"prompt_tokens":2}}

data: [DONE]

data: what comes behind it does not count

"#,
            json!({"object": "chat.completion", "usage": {"prompt_tokens": 2}, "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "abc"}, "finish_reason": "stop",
                    "logprobs": {"content": [1, 2, 3], "refusal": null}},
                {"index": 1, "message": {"role": "assistant", "content": "d", "reasoning_content": "hm"},
                    "finish_reason": "length"}]}),
        ),
    ] {
        let whole = to_whole(Operation::Chat, events.as_bytes()).expect(label);
        assert_eq!(read(&whole), expected, "{label}");
        let unchanged = to_whole(Operation::Chat, events.replace('\n', "\r\n").as_bytes()).expect(label);
        assert_eq!(unchanged, whole, "{label}");
    }
    let events =
        br#"data: {"object":"text_completion","choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"]}}]}

data: {"choices":[{"index":0,"text":"b","logprobs":{"tokens":["b"]},"finish_reason":"stop"}],"usage":null}

data: [DONE]

"#;
    let whole = to_whole(Operation::Completions, events).unwrap();
    let expected = r#"{"object":"text_completion","choices":[{"index":0,"text":"ab","logprobs":{"tokens":["a","b"]},"finish_reason":"stop"}]}"#;
    assert_eq!(whole, expected);
}

#[test]
fn the_last_event_of_a_response_is_the_response_as_it_is_spelled() {
    let events = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n\
        data: {\"type\":\"response.output_item.done\",\"item\":{}}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{ \"b\": 1.0,\"output\":[{} ] },\"sequence_number\":2}\n\n";
    let whole = to_whole(Operation::Responses, events.as_bytes()).unwrap();
    assert_eq!(whole, r#"{ "b": 1.0,"output":[{} ] }"#);
    let short = events.replace("[{} ]", "[]");
    assert_eq!(to_whole(Operation::Responses, short.as_bytes()), None, "an item was told once");
}

#[test]
fn what_is_not_understood_is_not_told_as_events() {
    use Operation::{Chat, Completions, Embeddings, Responses};
    let deep = format!(r#"{{"x":{}}}"#, "[".repeat(200) + &"]".repeat(200));
    for (label, operation, whole) in [
        ("nothing", Chat, ""),
        ("another language", Chat, "<html>"),
        ("half of it", Chat, r#"{"choices":["#),
        ("a list", Chat, "[]"),
        (
            "an error",
            Chat,
            r#"{"error":{"message":"x"},"choices":[{"index":0,"message":{},"finish_reason":"stop"}]}"#,
        ),
        ("no choices", Chat, r#"{"object":"chat.completion"}"#),
        ("an empty list of choices", Chat, r#"{"choices":[]}"#),
        ("no message", Chat, r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#),
        ("no end", Chat, r#"{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":null}]}"#),
        ("no index", Chat, r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#),
        (
            "no first choice",
            Chat,
            r#"{"choices":[{"index":1,"message":{"content":"x"},"finish_reason":"stop"}]}"#,
        ),
        (
            "two first choices",
            Chat,
            r#"{"choices":[{"index":0,"message":{},"finish_reason":"stop"},{"index":0,"message":{},"finish_reason":"stop"}]}"#,
        ),
        (
            "content in parts",
            Chat,
            r#"{"choices":[{"index":0,"message":{"content":[{}]},"finish_reason":"stop"}]}"#,
        ),
        (
            "a field twice",
            Chat,
            r#"{"choices":[{"index":0,"message":{"x":1,"x":2},"finish_reason":"stop"}]}"#,
        ),
        ("audio", Chat, r#"{"choices":[{"index":0,"message":{"audio":{"id":"a"}},"finish_reason":"stop"}]}"#),
        ("no text", Completions, r#"{"choices":[{"index":0,"text":7,"finish_reason":"stop"}]}"#),
        ("a failed response", Responses, r#"{"status":"failed","output":[],"error":{"code":"x"}}"#),
        ("a response under way", Responses, r#"{"status":"in_progress","output":[]}"#),
        ("no output", Responses, r#"{"status":"completed"}"#),
        ("an item that is none", Responses, r#"{"status":"completed","output":[7]}"#),
        ("embeddings", Embeddings, r#"{"object":"list","data":[]}"#),
        ("too deep", Chat, &deep),
    ] {
        assert_eq!(to_events(operation, whole.as_bytes(), UsageChunk::Wanted), None, "{label}");
    }
    assert_eq!(to_events(Chat, b"\"\xff\"", UsageChunk::Wanted), None);
}

#[test]
fn what_is_not_understood_is_no_whole_answer() {
    let first = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"x","d":[1]},"finish_reason":"stop","t":[1]}]}"#;
    let with = |more: &str| format!("{first}\n\n{more}\n\ndata: [DONE]\n\n");
    assert!(to_whole(Operation::Chat, with("").as_bytes()).is_some());
    for (label, events) in [
        ("no terminator", format!("{first}\n\n")),
        ("a terminator alone", "data: [DONE]\n\n".to_owned()),
        ("a byte order mark", format!("\u{feff}{}", with(""))),
        ("an error", with(r#"data: {"error":{"message":"x"}}"#)),
        ("no JSON", with("data: <html>")),
        ("no chunk", with(r#"data: {"type":"ping"}"#)),
        ("too deep", with(&format!(r#"data: {{"choices":[],"x":{}}}"#, "[".repeat(200) + &"]".repeat(200)))),
        ("no index", with(r#"data: {"choices":[{"delta":{}}]}"#)),
        ("a choice without end", with(r#"data: {"choices":[{"index":1,"delta":{}}]}"#)),
        ("content in parts", with(r#"data: {"choices":[{"index":0,"delta":{"content":[]}}]}"#)),
        ("another role", with(r#"data: {"choices":[{"index":0,"delta":{"role":"user"}}]}"#)),
        ("a whole message", with(r#"data: {"choices":[{"index":0,"message":{}}]}"#)),
        ("a list that may be meant to grow", with(r#"data: {"choices":[{"index":0,"delta":{"d":[2]}}]}"#)),
        ("a list of a choice", with(r#"data: {"choices":[{"index":0,"delta":{},"t":[2]}]}"#)),
        ("a text that was a list", with(r#"data: {"choices":[{"index":0,"delta":{"d":"x"}}]}"#)),
        ("audio", with(r#"data: {"choices":[{"index":0,"delta":{"audio":{"id":"a"}}}]}"#)),
        (
            "a call without an index",
            with(r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a"}]}}]}"#),
        ),
        (
            "a call of nothing",
            with(r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#),
        ),
        ("odd logprobs", with(r#"data: {"choices":[{"index":0,"delta":{},"logprobs":{"content":"x"}}]}"#)),
    ] {
        assert_eq!(to_whole(Operation::Chat, events.as_bytes()), None, "{label}");
    }
    for (label, event) in [
        ("a failure", r#"{"type":"response.failed","response":{"output":[]}}"#),
        ("an error", r#"{"type":"error","message":"x"}"#),
        ("no output", r#"{"type":"response.completed","response":{}}"#),
        ("no end", r#"{"type":"response.output_text.delta","delta":"x"}"#),
        ("no type", "{}"),
    ] {
        assert_eq!(to_whole(Operation::Responses, format!("data: {event}\n\n").as_bytes()), None, "{label}");
    }
    assert_eq!(to_whole(Operation::Embeddings, first.as_bytes()), None);
}

#[test]
fn an_answer_that_its_events_would_multiply_has_none() {
    let choice = |index| format!(r#"{{"index":{index},"text":"","finish_reason":"stop"}}"#);
    let choices: Vec<_> = (0..1000).map(choice).collect();
    let whole = |id: &str| format!(r#"{{"id":"{id}","choices":[{}]}}"#, choices.join(","));
    let told = |id: &str| to_events(Operation::Completions, whole(id).as_bytes(), UsageChunk::Unwanted);
    assert!(told("cmpl-1").is_some());
    assert_eq!(told(&"x".repeat(10_000)), None);
    let fields: Vec<_> = (0..1000).map(|key| format!(r#""{key}":1"#)).collect();
    let whole = format!(r#"{{{},"choices":[{}]}}"#, fields.join(","), choice(0));
    assert_eq!(to_events(Operation::Completions, whole.as_bytes(), UsageChunk::Unwanted), None);
}

#[test]
fn usage_is_taken_out_as_it_is_live() {
    let sent = "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}],\"usage\":null}\n\n: ping\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let seen = "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\n: ping\n\n";
    for (end, kept) in [
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
        ("data: [DONE]", "data: [DONE]\n\n"),
        ("data: [DONE]\r\r", "data: [DONE]\r\r"),
        ("data: [DONE]\n\n: late\n\n", "data: [DONE]\n\n"),
        ("", ""),
    ] {
        let events = Bytes::from(format!("{sent}{end}"));
        assert_eq!(without_usage(Operation::Completions, &events), format!("{seen}{kept}"), "{end:?}");
    }
    let whole = WHOLE[0].2.as_bytes();
    let wanted = to_events(Operation::Chat, whole, UsageChunk::Wanted).unwrap();
    let unwanted = to_events(Operation::Chat, whole, UsageChunk::Unwanted).unwrap();
    assert_eq!(without_usage(Operation::Chat, &wanted), unwanted);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~é🦀\n\r\u{2028}]{0,12}", Just(String::new()), Just("data: [DONE]\n\n".to_owned())]
}

/// Any value of a field that nobody knows.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn unknown() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("x_[a-d]", any_value(), 0..3).prop_map(|map| json!(map))
}

fn with(mut object: Value, more: &Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

fn call() -> impl Strategy<Value = Value> {
    (text(), unknown()).prop_map(|(text, more)| {
        with(json!({"id": "call", "type": "function", "function": {"name": "f", "arguments": text}}), &more)
    })
}

fn message() -> impl Strategy<Value = Value> {
    let text = || proptest::option::of(text());
    let calls = proptest::collection::vec(call(), 0..3);
    (text(), text(), text(), calls, unknown()).prop_map(|(content, refusal, reasoning, calls, more)| {
        let known = json!({"role": "assistant", "content": content, "refusal": refusal,
            "reasoning_content": reasoning, "tool_calls": calls});
        with(known, &more)
    })
}

fn chat() -> impl Strategy<Value = Value> {
    let logprobs =
        prop_oneof![Just(Value::Null), Just(json!({"content": [{"token": "x"}], "refusal": null}))];
    let choices = proptest::collection::vec((message(), logprobs, unknown()), 1..4);
    (choices, unknown(), proptest::option::of(0..9_u64)).prop_map(|(choices, more, tokens)| {
        let choices: Vec<_> = choices.into_iter().enumerate().map(|(index, (message, logprobs, more))| {
            with(json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": "stop"}), &more)
        }).collect();
        let mut whole = with(json!({"id": "c", "object": "chat.completion", "created": 1, "choices": choices}), &more);
        if let Some(tokens) = tokens {
            whole["usage"] = json!({"prompt_tokens": tokens});
        }
        whole
    })
}

fn response() -> impl Strategy<Value = Value> {
    let part = (text(), unknown())
        .prop_map(|(text, more)| with(json!({"type": "output_text", "text": text}), &more));
    let item = prop_oneof![
        proptest::collection::vec(part, 0..3).prop_map(|parts| json!({"type": "message", "content": parts})),
        text().prop_map(|text| json!({"type": "function_call", "arguments": text})),
        text().prop_map(
            |text| json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]})
        ),
        Just(json!({"type": "x"})),
    ];
    let items = proptest::collection::vec((item, proptest::option::of(0..9_u8), unknown()), 0..4);
    (items, unknown()).prop_map(|(items, more)| {
        let items: Vec<_> = items
            .into_iter()
            .map(|(item, id, more)| match id {
                Some(id) => with(with(item, &more), &json!({"id": id.to_string()})),
                None => with(item, &more),
            })
            .collect();
        with(json!({"id": "r", "status": "completed", "output": items}), &more)
    })
}

proptest! {
    #[test]
    fn any_chat_comes_back_from_its_events(whole in chat(), is_pretty in any::<bool>()) {
        let text = if is_pretty { format!("{whole:#}") } else { whole.to_string() };
        let events = to_events(Operation::Chat, text.as_bytes(), UsageChunk::Wanted).unwrap();
        is_told_as_if_live(Operation::Chat, &events, &text);
        prop_assert_eq!(read(&to_whole(Operation::Chat, &events).unwrap()), whole);
        let unwanted = to_events(Operation::Chat, text.as_bytes(), UsageChunk::Unwanted).unwrap();
        prop_assert_eq!(without_usage(Operation::Chat, &events), unwanted);
    }

    #[test]
    fn any_response_comes_back_from_its_events(whole in response(), is_pretty in any::<bool>()) {
        let text = if is_pretty { format!("{whole:#}") } else { whole.to_string() };
        let events = to_events(Operation::Responses, text.as_bytes(), UsageChunk::Unwanted).unwrap();
        is_told_as_if_live(Operation::Responses, &events, &text);
        prop_assert_eq!(read(&to_whole(Operation::Responses, &events).unwrap()), whole.clone());
        // What the deltas say is what the parts are.
        let deltas: String = events_of(&events).iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .map(|event| event["delta"].as_str().unwrap().to_owned()).collect();
        let items = whole["output"].as_array().unwrap().iter().filter(|item| item.get("id").is_some());
        let parts = items.filter_map(|item| item["content"].as_array()).flatten();
        let texts: String = parts.map(|part| part["text"].as_str().unwrap()).collect();
        prop_assert_eq!(deltas, texts);
    }

    #[test]
    fn no_bytes_panic_and_none_multiply(
        which in 0..WHOLE.len(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[\\PC\n]{0,3}"), 1..4),
    ) {
        let (_, operation, whole) = WHOLE[which];
        let events = to_events(operation, whole.as_bytes(), UsageChunk::Wanted).unwrap();
        for mut bytes in [whole.as_bytes().to_vec(), events.to_vec()] {
            for (at, text) in &cuts {
                let at = at.index(bytes.len());
                let end = (at + 2).min(bytes.len());
                bytes.splice(at..end, text.bytes());
            }
            let bytes = Bytes::from(bytes);
            for operation in [Operation::Chat, Operation::Completions, Operation::Responses] {
                let told = to_events(operation, &bytes, UsageChunk::Wanted);
                prop_assert!(told.is_none_or(|told| told.len() <= bytes.len() * 16 + (64 << 10)));
                let back = to_whole(operation, &bytes);
                prop_assert!(back.is_none_or(|whole| whole.len() <= bytes.len() + 200));
                prop_assert!(without_usage(operation, &bytes).len() <= bytes.len() + 2);
            }
        }
    }
}
