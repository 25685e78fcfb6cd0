use serde_json::json;

use super::*;
use crate::wire::Cutting;

const CHUNKS: [&str; 4] = [
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Riv"},"finish_reason":null}]}"#,
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"ers"},"finish_reason":null}],"usage":null}"#,
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
    r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#,
];

const NOTICE: &str = "data: {\"error\":{\"message\":\"it stopped\"}}\n\n";

fn recording(lines: &[&str]) -> Recording {
    Recording::read_all("a.chunks.txt", &lines.join("\n")).remove(0)
}

fn exchange(part: Part, body: impl Into<String>) -> Exchange {
    let is_hit = matches!(part, Part::Again | Part::OtherForm | Part::UnaskedAgain);
    let record = json!({"ending": "complete", "usage": "reported", "input_tokens": 7, "cached_tokens": 0, "output_tokens": 5});
    let body = body.into().into();
    Exchange { cutting: Cutting::Whole, part, status: 200, body, is_broken: false, is_hit, record }
}

fn stream(lines: &[&str]) -> String {
    format!("data: {}\n\ndata: [DONE]\n\n", lines.join("\n\ndata: "))
}

fn unasked() -> String {
    stream(&[CHUNKS[0], &CHUNKS[1].replace(r#","usage":null"#, ""), CHUNKS[2]])
}

fn whole() -> String {
    json!({
        "id": "c", "object": "chat.completion", "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "tool_calls",
            "message": {
                "role": "assistant", "content": "Rivers",
                "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
            },
        }],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    })
    .to_string()
}

/// As a gateway without a fault answers.
fn right() -> Vec<Exchange> {
    let half = stream(&CHUNKS).len() / 2;
    let passing = stream(&CHUNKS)[..half].rfind("\n\n").unwrap() + 2;
    let cut = |part| {
        let mut exchange = exchange(part, format!("{}{NOTICE}", &stream(&CHUNKS)[..passing]));
        exchange.record = json!({"ending": "truncated", "usage": "counted"});
        exchange
    };
    vec![
        exchange(Part::Live, stream(&CHUNKS)),
        exchange(Part::Again, stream(&CHUNKS)),
        exchange(Part::OtherForm, whole()),
        exchange(Part::Unasked, unasked()),
        exchange(Part::UnaskedAgain, unasked()),
        cut(Part::Half),
        cut(Part::HalfAgain),
    ]
}

#[test]
fn what_is_as_it_should_be_has_no_difference() {
    assert_eq!(differences(&recording(&CHUNKS), &right()), Vec::<String>::new());
}

#[test]
fn each_fault_of_a_gateway_is_found() {
    type Spoil = fn(&mut Exchange);
    let replace = |exchange: &mut Exchange, what: &str, with: &str| {
        let text = text(&exchange.body);
        assert!(text.contains(what), "{what}");
        exchange.body = text.replace(what, with).into();
    };
    let changed: [(&str, usize, &str, &str, &str); 11] = [
        ("a changed byte", 0, "Riv", "Ruv", "byte"),
        ("another spelling", 0, "\"id\":\"c\"", "\"id\": \"c\"", "byte"),
        ("a lost terminator", 0, "data: [DONE]\n\n", "", "byte"),
        ("something behind the end", 0, "[DONE]\n\n", "[DONE]\n\n: bye\n\n", "behind its end"),
        ("a changed byte of what is kept", 1, "ers", "er", "byte"),
        ("lost text", 2, "Rivers", "Riv", "message.content"),
        ("lost arguments", 2, "\"{}\"", "\"\"", "tool_calls"),
        ("a lost reason", 2, "tool_calls\",\"index", "stop\",\"index", "finish_reason"),
        ("a lost usage", 2, "\"prompt_tokens\":7", "\"prompt_tokens\":8", "usage"),
        (
            "a usage that nobody has asked for",
            3,
            "\"finish_reason\":null}]}",
            "\"finish_reason\":null}],\"usage\":null}",
            "event 0",
        ),
        ("an end for half an answer", 5, NOTICE, "data: [DONE]\n\n", "not one event tells"),
    ];
    for (fault, at, what, with, expected) in changed {
        let mut exchanges = right();
        replace(&mut exchanges[at], what, with);
        let found = differences(&recording(&CHUNKS), &exchanges);
        assert!(found.len() == 1 && found[0].contains(expected), "{fault}: {found:?}");
    }
    let spoiled: [(&str, usize, Spoil, &str); 9] = [
        ("a status", 0, |it| it.status = 502, "status 502"),
        ("another ending", 0, |it| it.record["ending"] = "truncated".into(), "booked as"),
        ("a usage that is not read", 0, |it| it.record["usage"] = "counted".into(), "metered as"),
        ("a usage of something else", 3, |it| it.record["output_tokens"] = 6.into(), "metered as"),
        ("a record that is lost", 0, |it| it.record = Value::Null, "booked as null"),
        ("an answer that is not kept", 1, |it| it.is_hit = false, "not kept"),
        ("a form that is not made", 2, |it| it.is_hit = false, "no whole answer"),
        ("half an answer that is kept", 6, |it| it.is_hit = true, "was kept"),
        ("a break", 0, |it| it.is_broken = true, "broke off"),
    ];
    for (fault, at, spoil, expected) in spoiled {
        let mut exchanges = right();
        spoil(&mut exchanges[at]);
        let found = differences(&recording(&CHUNKS), &exchanges);
        assert!(found.iter().any(|found| found.contains(expected)), "{fault}: {found:?}");
    }
    assert_eq!(differences(&recording(&CHUNKS), &[]).len(), 1, "nothing that was asked is no proof");
}

#[test]
fn what_is_not_complete_must_be_told_so_and_not_be_kept() {
    let endless = recording(&CHUNKS[..2]);
    let passing = stream(&CHUNKS[..2]).replace("data: [DONE]\n\n", "");
    let mut live = exchange(Part::Live, format!("{passing}{NOTICE}"));
    live.record = json!({"ending": "truncated", "usage": "counted"});
    assert_eq!(differences(&endless, &[live.clone()]), Vec::<String>::new());
    let mut clean = live.clone();
    clean.body = stream(&CHUNKS[..2]).into();
    assert_eq!(differences(&endless, &[clean]).len(), 1);
    let mut kept = exchange(Part::Again, stream(&CHUNKS[..2]));
    assert_eq!(differences(&endless, &[kept.clone()]).len(), 1);
    kept.is_hit = false;
    assert_eq!(differences(&endless, &[kept]), Vec::<String>::new());
}

#[test]
fn a_whole_response_as_a_stream_must_say_all_of_it() {
    let response = json!({
        "object": "response", "status": "completed",
        "output": [{"id": "x", "type": "function_call", "arguments": "{}"}],
    });
    let recording = Recording::read_all("a.json", &response.to_string()).remove(0);
    let item = &response["output"][0];
    let events = |delta: &str| {
        let events = [
            json!({"type": "response.function_call_arguments.delta", "sequence_number": 0, "output_index": 0, "delta": delta}),
            json!({"type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item}),
            json!({"type": "response.completed", "sequence_number": 2, "response": response}),
        ];
        let named = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
        events.iter().map(named).collect::<String>()
    };
    let as_stream = |body: String| differences(&recording, &[exchange(Part::OtherForm, body)]);
    assert_eq!(as_stream(events("{}")), Vec::<String>::new());
    assert!(as_stream(events("{"))[0].contains("deltas"));
    assert!(as_stream(events("{}").replace("event: response.completed\n", ""))[0].contains("is called"));
    assert!(
        as_stream(events("{}").replace("\"sequence_number\":2", "\"sequence_number\":3"))[0]
            .contains("number")
    );
}
