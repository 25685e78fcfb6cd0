//! Answers in another form than was asked for, under labels that lie, and streams that are held back: what the client
//! gets, and what the books say.
#![cfg(test)]

use std::time::Duration;

use serde_json::Value;
use weir::ledger::record::{Ending, Record};
use weir::ledger::usage::Tokens;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Answer, Beat, Clock, End, Reply, Shell, config, exchange, post};

const ONE: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
[[route]]
model = "*"
to = ["a"]
"#;

fn ask(route: &str, path: &str, request: impl Into<String>, answer: Answer) -> (Reply, Record) {
    let shell = Shell::default();
    shell.script("a", [answer]);
    let reply =
        exchange(&shell, &config(&format!("{ONE}{route}")), post(shell.clock(), path, request.into()));
    assert_eq!((shell.in_flight(), shell.records().len()), (0, 1));
    (reply, shell.records().remove(0))
}

#[test]
fn a_label_changes_nothing_wherever_the_answer_is_cut() {
    for label in ["text/plain", "application/octet-stream", "application/json", "", "text/event-stream"] {
        for sample in samples::all() {
            let sent = sample.sent();
            for at in (1..12).chain([sent.len() / 2]) {
                let pieces = sent.as_bytes().split_at(at);
                let beats = [pieces.0, pieces.1].map(|piece| Beat::Bytes(piece.to_vec().into()));
                let answer = Answer::new(200, label, "").beats(beats);
                let (reply, record) = ask("", sample.path, sample.request.clone(), answer);
                assert_eq!((reply.status, reply.text()), (200, sample.seen()), "{label:?} at {at}");
                assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8");
                assert_eq!(record.ending, Ending::Complete);
            }
        }
        let (reply, _) =
            ask("", WHOLE_CHAT.path, WHOLE_CHAT.request, Answer::new(200, label, WHOLE_CHAT.answer));
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer), "{label:?}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
}

#[test]
fn each_form_is_given_for_the_other() {
    let sample = samples::chat();
    let (reply, record) = ask("", sample.path, sample.request.clone(), Answer::json(WHOLE_CHAT.answer));
    assert!(
        reply.text().ends_with("data: [DONE]\n\n") && !reply.text().contains("usage"),
        "{}",
        reply.text()
    );
    assert_eq!((record.ending, record.usage.input), (Ending::Complete, Tokens(9)));
    let (reply, record) = ask("", WHOLE_CHAT.path, WHOLE_CHAT.request, Answer::events(sample.sent()));
    let whole: Value = serde_json::from_slice(&reply.body()).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "é\n\n🦀,\"usage\":null");
    assert_eq!(
        (record.ending, record.usage.input, record.usage.output),
        (Ending::Complete, Tokens(9), Tokens(4))
    );
}

#[test]
fn a_stream_is_held_back_no_longer_than_its_route_says() {
    let comment = || Beat::Bytes(": processing\n\n".into());
    let second = || Beat::Pause(Duration::from_secs(1));
    let beats = || (0..8).flat_map(|_| [comment(), second()]);
    let sample = samples::chat_with_usage();
    let word = Beat::Bytes(sample.sent().into());
    for (route, seconds) in [("", 5), ("hold_back = \"2s\"", 2), ("hold_back = \"1h\"", 8)] {
        let answer = Answer::events("").beats(beats().chain([word.clone()]));
        let (reply, record) = ask(route, sample.path, sample.request.clone(), answer);
        assert_eq!(reply.text(), [": processing\n\n".repeat(8), sample.sent()].concat());
        assert_eq!(reply.head_at.since(Clock::default().now()), Duration::from_secs(seconds), "{route}");
        assert_eq!(record.ending, Ending::Complete);
    }
    // An upstream that fails behind its head is told of in the stream.
    let answer = Answer::events("").beats(beats()).ending(End::Broken);
    let (reply, record) = ask("", sample.path, sample.request.clone(), answer);
    assert!(reply.status == 200 && reply.text().contains("upstream_error"), "{}", reply.text());
    assert_eq!((record.ending, record.attempts.len()), (Ending::Reset, 1));
}

#[test]
fn silence_is_filled_with_comments_between_events() {
    let sample = samples::chat_with_usage();
    let (first, rest) = (
        sample.events[1].sent.clone(),
        sample.events[2..].iter().map(|e| e.sent.as_str()).collect::<String>(),
    );
    let (half, other) = rest.split_at(9);
    let beats = || {
        [
            Beat::Bytes([first.as_str(), half].concat().into()),
            Beat::Pause(Duration::from_secs(50)),
            Beat::Bytes(other.to_owned().into()),
        ]
    };
    for (route, comments) in [("", 3), ("keep_alive = \"20s\"", 2), ("keep_alive = \"off\"", 0)] {
        let (reply, record) =
            ask(route, sample.path, sample.request.clone(), Answer::events("").beats(beats()));
        assert_eq!(
            reply.text(),
            [first.as_str(), &": keep-alive\n\n".repeat(comments), &rest].concat(),
            "{route}"
        );
        assert_eq!(record.ending, Ending::Complete);
    }
}

#[test]
fn comments_of_the_gateway_are_not_kept() {
    let shell = Shell::sharing();
    let sample = samples::chat_with_usage();
    let beats = [
        Beat::Bytes(sample.events[1].sent.clone().into()),
        Beat::Pause(Duration::from_secs(40)),
        Beat::Bytes(sample.events[2..].iter().map(|e| e.sent.as_str()).collect::<String>().into()),
    ];
    shell.script("a", [Answer::events("").beats(beats)]);
    let config = config(&format!("{ONE}cache = {{ ttl = \"1h\", max_temperature = 2 }}"));
    let request = || post(shell.clock(), sample.path, sample.request.clone());
    let first = exchange(&shell, &config, request());
    assert!(first.text().contains(": keep-alive"), "{}", first.text());
    let second = exchange(&shell, &config, request());
    assert_eq!(second.header("x-cache"), "HIT");
    assert_eq!(second.text(), first.text().replace(": keep-alive\n\n", ""));
}

#[test]
fn a_refusal_to_be_asked_for_usage_is_met_once() {
    let shell = Shell::sharing();
    let sample = samples::chat_without_usage();
    let refusal = r#"{"error":{"message":"Unknown field: stream_options"}}"#;
    shell.script("a", [Answer::new(400, "application/json", refusal), Answer::events(sample.sent())]);
    for sent in [2, 3] {
        let reply = exchange(&shell, &config(ONE), post(shell.clock(), sample.path, sample.request.clone()));
        assert_eq!((reply.status, reply.text(), shell.sent().len()), (200, sample.seen(), sent));
    }
    let asks: Vec<_> = shell
        .sent()
        .iter()
        .map(|sent| String::from_utf8_lossy(&sent.body).contains("stream_options"))
        .collect();
    assert_eq!(asks, [true, false, false]);
    assert_eq!(shell.records()[0].attempts.len(), 1);
}
