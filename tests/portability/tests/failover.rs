//! A stream that fails before its first word fails over unseen: the client has one upstream's bytes, never a mix
//! (invariant 11).
#![cfg(test)]

use weir::ledger::connect_fault::ConnectFault;
use weir::ledger::failure::Condition;
use weir::ledger::record::Ending;
use weir::routing::upstream::dispatch::SendFault;
use weir_portability::samples::{self, Sample};
use weir_portability::{Act, Answer, Beat, End, Shell, State, config, exchange, post};

const TWO: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
timeout = { connect = "1s", first_byte = "2s", idle = "2s" }
[upstream.b]
dialect = "openai"
base_url = "https://b.example/v1"
[[route]]
model = "*"
to = ["a"]
fallback = [{ upstream = "b", model = "m-b" }]
"#;

/// What the sample sends before its first word, but for a mark by which it would be known.
fn preamble(sample: &Sample) -> String {
    let events = sample.events.iter().take_while(|event| !event.is_content);
    events.map(|event| event.sent.replace("m-1", "marked")).collect()
}

fn failures(sample: &Sample) -> Vec<(&'static str, Act, Condition)> {
    let preamble = preamble(sample);
    let stream = |behind: &[u8], end| {
        let bytes = [preamble.as_bytes(), behind].concat();
        Act::from(Answer::events(bytes).ending(end))
    };
    let error = if sample.label == "responses" {
        "data: {\"type\":\"error\",\"message\":\"marked\"}\n\n"
    } else {
        "data: {\"error\":{\"message\":\"marked\"}}\n\n"
    };
    vec![
        ("no connection", Act::NoConnection, Condition::Connect),
        ("connection refused", Act::Fault(SendFault::Connect(ConnectFault::Refused)), Condition::Connect),
        ("reset before the head", Act::Fault(SendFault::Broken), Condition::Connect),
        ("no head", Act::Silence, Condition::Timeout),
        ("reset before the first word", stream(b"", End::Broken), Condition::Connect),
        ("end before the first word", stream(b"", End::Clean), Condition::BadAnswer),
        (
            "half a word",
            stream(b"data: {\"choices\":[{\"delta\":{\"content\":\"marked", End::Clean),
            Condition::BadAnswer,
        ),
        ("silence before the first word", stream(b"", End::Silent), Condition::Timeout),
        ("an error for a first word", stream(error.as_bytes(), End::Clean), Condition::ServerError),
        ("garbage for a first word", stream(b"data: marked\n\n", End::Clean), Condition::BadAnswer),
    ]
}

#[test]
fn an_early_failure_is_answered_by_the_next_upstream_alone() {
    let config = config(TWO);
    for sample in samples::all() {
        for (failure, act, condition) in failures(&sample) {
            let label = format!("{}, {failure}", sample.label);
            let shell = Shell::default();
            shell.script("a", [act]);
            shell.script("b", [Answer::events(sample.sent())]);
            let reply = exchange(&shell, &config, post(shell.clock(), sample.path, sample.request.clone()));
            assert_eq!((reply.status, reply.text()), (200, sample.seen()), "{label}");
            assert_eq!(shell.asked(), ["a", "b"], "{label}");
            assert!(shell.sent().iter().all(|sent| sent.progress.state() != State::Open), "{label}");
            let record = &shell.records()[0];
            assert_eq!((record.ending, record.fallbacks), (Ending::Complete, 1), "{label}");
            assert_eq!((record.upstream.as_str(), record.upstream_model.as_str()), ("b", "m-b"), "{label}");
            let failures: Vec<_> = record.attempts.iter().map(|attempt| attempt.failure).collect();
            assert_eq!(failures, [Some(condition), None], "{label}");
            assert_eq!(shell.in_flight(), 0, "{label}");
        }
    }
}

#[test]
fn behind_the_first_word_nobody_else_is_asked() {
    let config = config(TWO);
    for sample in samples::all() {
        for end in [End::Clean, End::Broken, End::Silent] {
            let first_word = sample.events.iter().position(|event| event.is_content).unwrap();
            let begun: String =
                sample.events[..=first_word].iter().map(|event| event.sent.as_str()).collect();
            let shell = Shell::default();
            shell.script("a", [Answer::events(begun).ending(end)]);
            let reply = exchange(&shell, &config, post(shell.clock(), sample.path, sample.request.clone()));
            assert_eq!((reply.status, shell.asked()), (200, vec!["a".to_owned()]), "{}", sample.label);
            assert_ne!(shell.records()[0].ending, Ending::Complete, "{}", sample.label);
        }
    }
}

#[test]
fn a_preamble_is_held_back_but_not_without_end() {
    let config = config(TWO);
    let comment = [b": ping\n\n".repeat(128)];
    let shell = Shell::default();
    let beats = comment.iter().cycle().take(100).map(|piece| Beat::Bytes(piece.clone().into()));
    shell.script("a", [Answer::events("").beats(beats).ending(End::Broken)]);
    let sample = samples::chat();
    let reply = exchange(&shell, &config, post(shell.clock(), sample.path, sample.request));
    assert_eq!(reply.status, 200, "beyond 64 KiB it goes on");
    assert!(reply.text().starts_with(": ping\n\n") && reply.text().contains("\"upstream_error\""));
    assert_eq!(shell.asked(), ["a"]);
    assert_eq!(shell.records()[0].ending, Ending::Reset);
}
