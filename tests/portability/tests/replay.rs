//! An answer out of the cache, in the form that was not stored: nobody could tell it from a live one.
#![cfg(test)]

use weir::dialect::endpoint::Operation;
use weir::dialect::openai::replay::{UsageChunk, to_events, to_whole, without_usage};
use weir::ledger::record::Ending;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Answer, Beat, Shell, config, exchange, post};

const ONE: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
[[route]]
model = "*"
to = ["a"]
"#;

fn operation(path: &str) -> Operation {
    match path {
        "/v1/chat/completions" => Operation::Chat,
        "/v1/completions" => Operation::Completions,
        "/v1/responses" => Operation::Responses,
        _ => panic!("{path}"),
    }
}

#[test]
fn usage_that_the_client_has_not_asked_for_is_gone_as_it_is_live() {
    for ending in ["\n", "\r", "\r\n"] {
        for sample in samples::all() {
            let sample = sample.with_line_ending(ending);
            // Whoever has asked for it gets what is stored.
            if !sample.request.contains("include_usage") {
                let seen = without_usage(operation(sample.path), &sample.sent().into());
                assert_eq!(seen, sample.seen(), "{}, {ending:?}", sample.label);
            }
        }
    }
}

#[test]
fn events_that_were_made_go_through_a_gateway_as_live_ones_do() {
    let whole_response = r#"{"id":"r1","model":"m-1","status":"completed","error":null,"output":[{"type":"message",
        "id":"msg_1","content":[{"type":"output_text","text":"é","annotations":[]}]}],"usage":{"input_tokens":9,
        "output_tokens":4}}"#;
    let whole_completion = r#"{"id":"c1","model":"m-1","choices":[{"index":0,"text":"é","finish_reason":"stop"}],
        "usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
    let config = config(ONE);
    for (sample, whole) in [
        (samples::chat(), WHOLE_CHAT.answer),
        (samples::chat_with_usage(), WHOLE_CHAT.answer),
        (samples::completions(), whole_completion),
        (samples::completions_with_usage(), whole_completion),
        (samples::responses(), whole_response),
    ] {
        let told = |usage| to_events(operation(sample.path), whole.as_bytes(), usage).unwrap();
        let sent = told(UsageChunk::Wanted);
        let is_asked = sample.request.contains("include_usage");
        let seen = told(if is_asked { UsageChunk::Wanted } else { UsageChunk::Unwanted });

        let shell = Shell::default();
        shell.script("a", [Answer::events("").beats([Beat::Bytes(sent)])]);
        let reply = exchange(&shell, &config, post(shell.clock(), sample.path, sample.request.clone()));
        let records = shell.records();
        assert_eq!(reply.body(), seen, "{}", sample.label);
        assert_eq!((records[0].ending, reply.is_aborted), (Ending::Complete, false), "{}", sample.label);
        assert_eq!((records[0].usage.input.0, records[0].usage.output.0), (9, 4), "{}", sample.label);
        assert_eq!(records[0].response_model, "m-1", "{}", sample.label);
    }
}

#[test]
fn a_whole_answer_is_made_of_chunks_that_were_sent() {
    for (sample, expected) in [
        (
            samples::chat(),
            r#"{"id":"c1","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"é\n\n🦀,\"usage\":null"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4},"object":"chat.completion"}"#,
        ),
        (
            samples::completions(),
            r#"{"id":"c1","model":"m-1","choices":[{"index":0,"text":"é\n","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4},"object":"text_completion"}"#,
        ),
    ] {
        let expected = expected.replace("é\n\n🦀,", "é\\n\\n🦀,");
        let whole = to_whole(operation(sample.path), sample.sent().as_bytes());
        assert_eq!(whole.as_deref(), Some(expected.as_bytes()), "{}", sample.label);
    }
}
