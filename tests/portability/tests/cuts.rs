//! An answer cut at every byte, in every way: the client has a legal prefix of whole events that ends in exactly
//! one of terminator, error event, or an error response in place of an answer that never began; a cut answer is
//! never taken for a whole one (invariants 4, 5, 11).
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weir::Config;
use weir::ledger::record::{Ending, Record};
use weir::ledger::usage::Source;
use weir_portability::samples::{self, Sample};
use weir_portability::{Answer, Beat, End, Reply, Shell, config, exchange, post};

const ONE: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
timeout = { idle = "7s" }
[[route]]
model = "*"
to = ["a"]
hold_back = "1h"
keep_alive = "off"
"#;

/// A way in which an answer stops, and what it is called once it has begun.
struct Cut {
    label: &'static str,
    end: End,
    ending: Ending,
    /// Of the response, if the answer never began.
    status: u16,
}

const CUTS: [Cut; 3] = [
    Cut { label: "clean end", end: End::Clean, ending: Ending::Truncated, status: 502 },
    Cut { label: "broken", end: End::Broken, ending: Ending::Reset, status: 502 },
    Cut { label: "silence", end: End::Silent, ending: Ending::Stalled, status: 504 },
];

fn cut(config: &Arc<Config>, sample: &Sample, bytes: &[u8], end: End) -> (Shell, Reply, Record) {
    let shell = Shell::default();
    let half = bytes.len() / 2;
    let beats = [&bytes[..half], &bytes[half..]].map(|piece| Beat::Bytes(piece.to_vec().into()));
    shell.script("a", [Answer::events("").beats(beats).ending(end)]);
    let reply = exchange(&shell, config, post(shell.clock(), sample.path, sample.request.clone()));
    assert_eq!(shell.in_flight(), 0, "invariant 5");
    assert_eq!(shell.records().len(), 1, "invariant 4");
    let record = shell.records().remove(0);
    (shell, reply, record)
}

/// How many events of the sample are whole in its first `length` bytes.
fn whole_events(sample: &Sample, length: usize) -> usize {
    let mut end = 0;
    let ends = sample.events.iter().map(|event| {
        end += event.sent.len();
        end
    });
    ends.take_while(|end| *end <= length).count()
}

fn assert_contract(
    sample: &Sample,
    cut_at: usize,
    cut: &Cut,
    (shell, reply, record): &(Shell, Reply, Record),
) {
    let at = format!("{}, {} after {cut_at} bytes", sample.label, cut.label);
    let sent = sample.sent();
    let whole = whole_events(sample, cut_at);
    // A terminator counts without its blank line, once the transport says that nothing follows.
    let lacks_blank_line = cut.end == End::Clean && cut_at + 2 >= sent.len();
    if whole == sample.events.len() || lacks_blank_line {
        assert_eq!(reply.text().trim_end(), sample.seen().trim_end(), "{at}");
        assert!(reply.text().ends_with("\n\n") && !reply.is_aborted, "{at}");
        assert_eq!((record.ending, record.status), (Ending::Complete, 200), "{at}");
        assert_eq!(record.usage.source == Source::Reported, sample.usage.is_some(), "{at}");
        return;
    }
    if sample.events[..whole].iter().any(|event| event.is_content) {
        let prefix: String =
            sample.events[..whole].iter().filter_map(|event| event.seen.as_deref()).collect();
        let text = reply.text();
        assert_eq!(reply.status, 200, "{at}");
        let rest = text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{at}: {text}"));
        assert_is_one_error_event(sample, rest, &at);
        assert!(!reply.is_aborted, "{at}");
        assert_eq!((record.ending, record.status), (cut.ending, 200), "{at}");
        assert_eq!(record.attempts.len(), 1, "{at}: nothing is retried behind the first byte");
        assert_ne!(record.usage.source, Source::Nothing, "{at}");
    } else {
        let error: Value = serde_json::from_slice(&reply.body()).unwrap();
        assert_eq!((reply.status, record.status), (cut.status, cut.status), "{at}");
        let kind = if cut.status == 504 { "timeout_error" } else { "server_error" };
        assert_eq!(error["error"]["type"], kind, "{at}");
        assert_eq!(record.ending, Ending::Failed, "{at}");
        // What was waited for long enough is not waited for again where there is nobody else to ask.
        let attempts = if cut.status == 504 { 1 } else { 3 };
        let made = (record.attempts.len(), shell.sent().len());
        assert_eq!(made, (attempts, attempts), "{at}: unseen, so it is retried");
    }
}

fn assert_is_one_error_event(sample: &Sample, text: &str, at: &str) {
    let event = text.strip_suffix("\n\n").unwrap_or_else(|| panic!("{at}: {text}"));
    assert!(!event.contains("\n\n") && !event.contains("[DONE]"), "{at}: {text}");
    if sample.label == "responses" {
        let data = event.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{at}: {text}"));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], "error", "{at}");
        assert!(data["message"].is_string() && data["sequence_number"].is_u64(), "{at}: {text}");
        return;
    }
    let data = event.strip_prefix("data: ").unwrap_or_else(|| panic!("{at}: {text}"));
    let data: Value = serde_json::from_str(data).unwrap();
    let keys: Vec<_> = data["error"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "param", "type"], "{at}: {text}");
}

fn cut_everywhere(cut_by: &Cut) {
    let config = config(ONE);
    for sample in samples::all() {
        let sent = sample.sent();
        for at in 0..=sent.len() {
            let outcome = cut(&config, &sample, &sent.as_bytes()[..at], cut_by.end);
            assert_contract(&sample, at, cut_by, &outcome);
        }
    }
}

#[test]
fn a_clean_end_too_early_is_never_taken_for_the_end() {
    cut_everywhere(&CUTS[0]);
}

#[test]
fn a_reset_at_any_byte_is_told() {
    cut_everywhere(&CUTS[1]);
}

#[test]
fn silence_behind_any_byte_is_told_after_the_idle_timeout() {
    cut_everywhere(&CUTS[2]);
}

#[test]
fn silence_is_waited_for_exactly_as_long_as_idle_says() {
    let config = config(ONE);
    let sample = samples::chat();
    let content = sample.events[0].sent.len() + sample.events[1].sent.len();
    let (_, reply, record) = cut(&config, &sample, &sample.sent().as_bytes()[..content], End::Silent);
    assert_eq!(reply.end_at.since(reply.head_at), Duration::from_secs(7));
    assert_eq!(record.took, Duration::from_secs(7));
}

#[test]
fn the_error_event_of_responses_has_the_next_number() {
    let config = config(ONE);
    let sample = samples::responses();
    let three: usize = sample.events[..3].iter().map(|event| event.sent.len()).sum();
    let (_, reply, _) = cut(&config, &sample, &sample.sent().as_bytes()[..three], End::Broken);
    assert!(reply.text().contains(r#""sequence_number":3"#), "{}", reply.text());
}

#[test]
fn a_json_answer_cut_at_any_byte_is_no_answer() {
    let config = config(ONE);
    for whole in [samples::WHOLE_CHAT, samples::WHOLE_RESPONSE, samples::EMBEDDINGS] {
        for cut in &CUTS {
            for at in 0..whole.answer.len() {
                let shell = Shell::default();
                shell.script("a", [Answer::json(whole.answer.as_bytes()[..at].to_vec()).ending(cut.end)]);
                let reply = exchange(&shell, &config, post(shell.clock(), whole.path, whole.request));
                let label = format!("{} {}, {} at {at}", whole.path, cut.label, reply.text());
                assert_eq!(reply.status, cut.status, "{label}");
                assert_eq!(shell.records()[0].ending, Ending::Failed, "{label}");
                assert_eq!(shell.sent().len(), if cut.status == 504 { 1 } else { 3 }, "{label}");
            }
        }
    }
}
