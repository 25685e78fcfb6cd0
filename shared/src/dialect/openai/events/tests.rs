use super::*;
use crate::ledger::usage::{Source, Tokens};
use crate::wire::sse;

fn see(observer: &mut Observer, text: &str) -> (Meaning, Passage) {
    let (frame, _) = sse::frame(text.as_bytes());
    observer.see(&frame)
}

#[test]
fn chat_events_mean_what_clients_take_them_for() {
    for (text, expected) in [
        (": ping\n\n", Meaning::Preamble),
        (r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#, Meaning::Preamble),
        (r#"data: {"choices":[],"prompt_filter_results":[]}"#, Meaning::Preamble),
        (
            r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","index":0,"x":true}}]}"#,
            Meaning::Preamble,
        ),
        (r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#, Meaning::Content),
        (r#"data: {"choices":[{"delta":{"role":"assistant","reasoning_content":"h"}}]}"#, Meaning::Content),
        (r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, Meaning::Content),
        (r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Meaning::Content),
        (r#"data: {"choices":[{"text":"Hi","finish_reason":null}]}"#, Meaning::Content),
        ("data: [DONE]", Meaning::EarlyTerminator),
        (r#"data: {"error":{"message":"x"}}"#, Meaning::Failure),
        ("data: {\"choices\":", Meaning::Malformed),
        ("data: <html>", Meaning::Malformed),
    ] {
        let mut observer = Observer::new(Operation::Chat, false);
        assert_eq!(see(&mut observer, text).0, expected, "{text}");
    }
}

#[test]
fn response_events_mean_what_clients_take_them_for() {
    for (text, expected) in [
        (r#"data: {"type":"response.created","sequence_number":0}"#, Meaning::Preamble),
        (r#"data: {"type":"response.output_text.delta","delta":"Hi"}"#, Meaning::Content),
        (r#"data: {"type":"response.completed","response":{}}"#, Meaning::Terminator),
        (r#"data: {"type":"response.incomplete","response":{}}"#, Meaning::Terminator),
        (r#"data: {"type":"error","code":"x"}"#, Meaning::Failure),
        ("data: [DONE]", Meaning::EarlyTerminator),
    ] {
        let mut observer = Observer::new(Operation::Responses, false);
        assert_eq!(see(&mut observer, text).0, expected, "{text}");
    }
}

#[test]
fn usage_that_only_the_gateway_asked_for_is_stripped_and_kept_in_the_books() {
    let mut observer = Observer::new(Operation::Chat, true);
    let chunk = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}],\"usage\":null}\n\n";
    let stripped =
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n";
    let (_, Passage::Without(span)) = see(&mut observer, chunk) else { panic!("nothing is stripped") };
    assert_eq!([&chunk[..span.start], &chunk[span.end..]].concat(), stripped);
    let last = r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}"#;
    assert_eq!(see(&mut observer, last).1, Passage::Drop);
    let usage = observer.usage(0);
    assert_eq!((usage.input, usage.output, usage.source), (Tokens(3), Tokens(5), Source::Reported));
    assert_eq!(observer.model(), Some("m"));
}

#[test]
fn what_has_another_form_than_it_should_counts_for_nothing() {
    for (label, text, expected) in [
        ("choices", r#"{"choices":null}"#, Meaning::Preamble),
        ("choices", r#"{"choices":{"delta":{"content":"x"}}}"#, Meaning::Preamble),
        ("choices", r#"{"choices":"x"}"#, Meaning::Preamble),
        ("choices", r#"{"choices":-7.5}"#, Meaning::Preamble),
        ("one choice of several", r#"{"choices":[null,{"delta":{"content":"x"}}]}"#, Meaning::Preamble),
        ("one choice of several", r#"{"choices":[{"text":"x"},[1,{"a":2}]]}"#, Meaning::Preamble),
        ("a delta", r#"{"choices":[{"delta":null}]}"#, Meaning::Preamble),
        ("a delta", r#"{"choices":[{"delta":["x"],"finish_reason":"stop"}]}"#, Meaning::Content),
        ("a chunk", r#"[{"choices":[]}]"#, Meaning::Malformed),
        ("its end", r#"{"choices":[]}}"#, Meaning::Malformed),
        ("its inside", r#"{"choices":[{"delta":{"content":nul}}]}"#, Meaning::Malformed),
    ] {
        let mut observer = Observer::new(Operation::Chat, true);
        assert_eq!(see(&mut observer, &format!("data: {text}")).0, expected, "{label}: {text}");
    }
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts() {
    let mut observer = Observer::new(Operation::Chat, true);
    let text = r#"data: {"error":{},"model":"a","usage":{"prompt_tokens":1},"choices":[],"choices":[{"delta":null,
        "delta":{"content":"x","content":"y"},"text":1,"text":null}],"usage":null,"model":"b","error":null}"#;
    let text = text.replace('\n', " ");
    let (meaning, passage) = see(&mut observer, &text);
    let Passage::Without(span) = passage else { panic!("nothing is stripped") };
    assert_eq!((meaning, &text[span]), (Meaning::Content, r#","usage":null"#));
    assert_eq!((observer.model(), observer.usage(0).source), (Some("b"), Source::Counted));
}

#[test]
fn a_surrogate_without_its_other_half_is_content() {
    let mut observer = Observer::new(Operation::Chat, false);
    let text = r#"data: {"choices":[{"delta":{"content":"\ud83d"},"x":"\ud83d"}],"y":1e999}"#;
    assert_eq!(see(&mut observer, text), (Meaning::Content, Passage::AsItIs));
}

#[test]
fn a_whole_answer_is_told_from_what_is_none() {
    for (operation, body, expected) in [
        (Operation::Chat, r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, true),
        (Operation::Chat, r#"{"error":{"message":"x"}}"#, false),
        (Operation::Chat, "<html>", false),
        (Operation::Chat, r#"{"choices":[]"#, false),
        (Operation::Chat, r#"{"choices":7}"#, false),
        (Operation::Embeddings, r#"{"data":[]}"#, true),
        (Operation::Responses, r#"{"output":[],"error":null}"#, true),
    ] {
        assert_eq!(Observer::new(operation, false).see_whole(body.as_bytes()), expected, "{body}");
    }
}

/// What the events of a stream mean, one behind the other.
fn meanings(operation: Operation, texts: &[&str]) -> Vec<Meaning> {
    let mut observer = Observer::new(operation, false);
    texts.iter().map(|text| see(&mut observer, text).0).collect()
}

#[test]
fn a_stream_is_complete_when_every_choice_has_its_reason() {
    let chunk = |index: u32, reason: &str| {
        format!(r#"data: {{"choices":[{{"index":{index},"delta":{{}},"finish_reason":{reason}}}]}}"#)
    };
    let (first, second) = (chunk(0, "null"), chunk(1, "null"));
    let (first_ends, second_ends) = (chunk(0, "\"stop\""), chunk(1, "\"length\""));
    for (label, texts, expected) in [
        ("nothing", vec![], Meaning::EarlyTerminator),
        ("no reason", vec![&*first], Meaning::EarlyTerminator),
        (
            "an empty reason",
            vec![r#"data: {"choices":[{"index":0,"finish_reason":""}]}"#],
            Meaning::EarlyTerminator,
        ),
        (
            "a preamble only",
            vec![r#"data: {"choices":[],"prompt_filter_results":[]}"#],
            Meaning::EarlyTerminator,
        ),
        ("one of two", vec![&first, &second, &first_ends], Meaning::EarlyTerminator),
        ("one choice", vec![&first, &first_ends], Meaning::Terminator),
        ("two choices, in any order", vec![&second, &first, &second_ends, &first_ends], Meaning::Terminator),
        ("filter results behind the end", vec![&first_ends, &first], Meaning::Terminator),
        (
            "usage behind the end",
            vec![&first_ends, r#"data: {"choices":[],"usage":{}}"#],
            Meaning::Terminator,
        ),
        ("no index", vec![r#"data: {"choices":[{"finish_reason":"stop"}]}"#], Meaning::Terminator),
        (
            "two in one chunk, without index",
            vec![r#"data: {"choices":[{"finish_reason":"stop"},{"text":"x"}]}"#],
            Meaning::EarlyTerminator,
        ),
    ] {
        for operation in [Operation::Chat, Operation::Completions] {
            let texts: Vec<&str> = texts.iter().copied().chain(["data: [DONE]"]).collect();
            assert_eq!(meanings(operation, &texts).pop().as_ref(), Some(&expected), "{label}");
        }
    }
}

#[test]
fn an_error_is_told_from_a_chunk_whatever_key_says_it() {
    for (text, is_error) in [
        (r#"{"error":{"message":"x"}}"#, true),
        (r#"{"error":"x"}"#, true),
        (r#"{"error":"x","choices":[]}"#, true),
        (r#"{"object":"error","message":"x"}"#, true),
        (r#"{"object":"error"}"#, true),
        (r#"{"type":"invalid_request_error"}"#, true),
        (r#"{"type":"error"}"#, true),
        (r#"{"message":"x"}"#, true),
        (r#"{"detail":"x"}"#, true),
        (r#"{"detail":[{"msg":"x"}]}"#, true),
        (r#"{"choices":null,"detail":"x"}"#, true),
        (r#"{"error":{}}"#, false),
        (r#"{"error":{ }}"#, false),
        (r#"{"error":""}"#, false),
        (r#"{"error":null}"#, false),
        (r#"{"error":[]}"#, false),
        (r#"{"error":false}"#, false),
        (r#"{"message":"","detail":null}"#, false),
        (r#"{"choices":[],"message":"x","detail":"y","object":"error","type":"x_error"}"#, false),
        (r#"{"id":"x","usage":null}"#, false),
    ] {
        let (mut events, mut whole) =
            (Observer::new(Operation::Chat, false), Observer::new(Operation::Chat, false));
        let (meaning, _) = see(&mut events, &format!("data: {text}"));
        assert_eq!(meaning == Meaning::Failure, is_error, "{text}");
        assert!(!is_error || !whole.see_whole(text.as_bytes()), "{text}");
    }
    for (text, is_error) in [
        (r#"{"error":{"message":"x"}}"#, true),
        (r#"{"message":"x"}"#, true),
        (r#"{"detail":"x"}"#, true),
        (r#"{"object":"error"}"#, true),
        (r#"{"type":"server_error"}"#, true),
        (r#"{"type":"response.output_text.delta","error":{}}"#, false),
    ] {
        let (meaning, _) = see(&mut Observer::new(Operation::Responses, false), &format!("data: {text}"));
        assert_eq!(meaning == Meaning::Failure, is_error, "{text}");
    }
}

#[test]
fn what_only_keeps_the_connection_means_nothing_and_passes() {
    for operation in [Operation::Chat, Operation::Completions, Operation::Responses] {
        for text in [
            ": ping",
            "data:",
            "data: ",
            "data: null",
            "event: ping",
            "event: ping\ndata: {}",
            "event: ping\ndata: {\"type\":\"ping\",\"message\":\"still here\"}",
            "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}",
            "event: keep-alive\ndata: waiting",
        ] {
            let seen = see(&mut Observer::new(operation, true), text);
            assert_eq!(seen, (Meaning::Preamble, Passage::AsItIs), "{operation:?} {text:?}");
        }
    }
    let chunk = "event: ping\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}";
    assert_eq!(see(&mut Observer::new(Operation::Chat, false), chunk).0, Meaning::Content);
}

#[test]
fn events_of_the_responses_api_that_nobody_knows_pass() {
    for (text, expected) in [
        (
            "event: response.new_thing.delta\ndata: {\"type\":\"response.new_thing.delta\",\"delta\":\"x\"}",
            Meaning::Content,
        ),
        ("event: codex.rate_limits\ndata: {\"type\":\"codex.rate_limits\"}", Meaning::Preamble),
        ("event: codex.rate_limits\ndata: {}", Meaning::Preamble),
        ("event: note\ndata: no JSON", Meaning::Preamble),
        ("event: response.output_text.delta\ndata: {\"delta\":\"x\"}", Meaning::Content),
        ("event: response.output_text.delta\ndata: {\"delta\":", Meaning::Malformed),
        ("data: {}", Meaning::Malformed),
    ] {
        assert_eq!(see(&mut Observer::new(Operation::Responses, false), text).0, expected, "{text}");
    }
}

#[test]
fn what_is_not_quite_text_is_read_as_well_as_can_be() {
    let chunk =
        b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"},\"finish_reason\":\"stop\"}],\"usage\":null}";
    let (frame, _) = sse::frame(chunk);
    let mut observer = Observer::new(Operation::Chat, true);
    assert_eq!(observer.see(&frame), (Meaning::Content, Passage::AsItIs));
    assert_eq!(see(&mut observer, "data: [DONE]").0, Meaning::Terminator);
}

#[test]
fn only_a_whole_answer_whose_choices_are_complete_may_be_given_again() {
    for (operation, body, expected) in [
        (Operation::Chat, r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#, true),
        (Operation::Chat, r#"{"error":{},"choices":[{"index":0,"finish_reason":"stop"}]}"#, true),
        (Operation::Chat, r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1}]}"#, false),
        (Operation::Chat, r#"{"choices":[{"index":0,"finish_reason":null}]}"#, false),
        (Operation::Completions, r#"{"choices":[{"text":"x","finish_reason":"length"}]}"#, true),
        (Operation::Completions, r#"{"choices":[{"text":"x"}]}"#, false),
        (Operation::Chat, r#"{"choices":[]}"#, false),
        (Operation::Embeddings, r#"{"data":[]}"#, true),
        (Operation::Responses, r#"{"output":[],"status":"completed"}"#, true),
        (Operation::Responses, r#"{"output":[],"status":"incomplete"}"#, true),
        (Operation::Responses, r#"{"output":[],"status":"queued"}"#, false),
        (Operation::Responses, r#"{"output":[],"status":"failed","error":{"code":"x"}}"#, false),
    ] {
        let mut observer = Observer::new(operation, false);
        assert!(observer.see_whole(body.as_bytes()), "{body}");
        assert_eq!(observer.is_complete(body.as_bytes()), expected, "{body}");
    }
}
