//! The stream contract under every chunking: whatever pieces an answer comes in, the bytes that go are the bytes
//! that came (invariant 6), and the books know what it used (invariant 4).
#![cfg(test)]

use std::sync::Arc;

use proptest::prelude::*;
use weir::Config;
use weir::ledger::record::{Ending, Record};
use weir::ledger::usage::{Source, Tokens, Usage};
use weir_portability::samples::{self, Sample};
use weir_portability::{Answer, Beat, Reply, Shell, config, exchange, post};

const ONE: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
[[route]]
model = "*"
to = ["a"]
"#;

/// The answer in `pieces`, with a poll between them.
fn answered(config: &Arc<Config>, sample: &Sample, pieces: &[&[u8]]) -> (Reply, Record) {
    let shell = Shell::default();
    let beats = pieces.iter().flat_map(|piece| [Beat::Bytes(piece.to_vec().into()), Beat::Yield]);
    shell.script("a", [Answer::events("").beats(beats)]);
    let reply = exchange(&shell, config, post(shell.clock(), sample.path, sample.request.clone()));
    assert_eq!(shell.in_flight(), 0);
    let mut records = shell.records();
    assert_eq!(records.len(), 1);
    (reply, records.remove(0))
}

fn assert_whole(sample: &Sample, reply: &Reply, record: &Record) {
    let label = sample.label;
    assert_eq!(reply.status, 200, "{label}");
    assert_eq!(reply.header("content-type"), "text/event-stream; charset=utf-8", "{label}");
    assert_eq!(reply.text(), sample.seen(), "{label}");
    assert!(!reply.is_aborted, "{label}");
    assert_eq!(record.ending, Ending::Complete, "{label}");
    assert_eq!(record.response_model, "m-1", "{label}");
    assert_eq!(record.attempts.len(), 1, "{label}");
    match sample.usage {
        Some((input, output)) => {
            let (input, output) = (Tokens(input), Tokens(output));
            let expected = Usage { input, output, source: Source::Reported, ..Usage::NOTHING };
            assert_eq!(record.usage, expected, "{label}");
        }
        None => assert_eq!(record.usage.source, Source::Counted, "{label}"),
    }
}

#[test]
fn an_answer_in_one_piece_goes_by_untouched() {
    let config = config(ONE);
    for sample in samples::all() {
        let (reply, record) = answered(&config, &sample, &[sample.sent().as_bytes()]);
        assert_whole(&sample, &reply, &record);
    }
}

#[test]
fn an_answer_in_two_pieces_goes_by_untouched_wherever_it_is_cut() {
    let config = config(ONE);
    for sample in samples::all() {
        let sent = sample.sent();
        for at in 1..sent.len() {
            let (first, second) = sent.as_bytes().split_at(at);
            let (reply, record) = answered(&config, &sample, &[first, second]);
            assert_whole(&sample, &reply, &record);
        }
    }
}

#[test]
fn an_answer_byte_by_byte_goes_by_untouched() {
    let config = config(ONE);
    for sample in samples::all() {
        let sent = sample.sent();
        let pieces: Vec<&[u8]> = sent.as_bytes().chunks(1).collect();
        let (reply, record) = answered(&config, &sample, &pieces);
        assert_whole(&sample, &reply, &record);
    }
}

#[test]
fn lines_that_end_in_crlf_keep_their_ends() {
    let config = config(ONE);
    for sample in samples::all() {
        let sample = sample.with_line_ending("\r\n");
        let sent = sample.sent();
        for at in 1..sent.len() {
            let (first, second) = sent.as_bytes().split_at(at);
            let (reply, record) = answered(&config, &sample, &[first, second]);
            assert_whole(&sample, &reply, &record);
        }
    }
}

#[test]
fn lines_that_end_in_cr_keep_their_ends() {
    let config = config(ONE);
    for sample in samples::all() {
        let sample = sample.with_line_ending("\r");
        let sent = sample.sent();
        for at in 1..sent.len() {
            let (first, second) = sent.as_bytes().split_at(at);
            let (reply, record) = answered(&config, &sample, &[first, second]);
            assert_whole(&sample, &reply, &record);
        }
    }
}

#[test]
fn a_whole_json_answer_goes_by_untouched_wherever_it_is_cut() {
    let config = config(ONE);
    for whole in [samples::WHOLE_CHAT, samples::WHOLE_RESPONSE, samples::EMBEDDINGS] {
        for at in 1..whole.answer.len() {
            let shell = Shell::default();
            let (first, second) = whole.answer.as_bytes().split_at(at);
            let beats = [first, second].map(|piece| Beat::Bytes(piece.to_vec().into()));
            shell.script("a", [Answer::json("").beats(beats)]);
            let reply = exchange(&shell, &config, post(shell.clock(), whole.path, whole.request));
            assert_eq!((reply.status, reply.text().as_str()), (200, whole.answer));
            let record = &shell.records()[0];
            assert_eq!((record.ending, record.usage.source), (Ending::Complete, Source::Reported));
            assert_eq!(record.usage.input, Tokens(9));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_chunking_changes_a_byte(which in 0_usize..6, ending in 0_usize..3, cuts in proptest::collection::vec(1_usize..40, 1..40)) {
        let config = config(ONE);
        let sample = samples::all().remove(which).with_line_ending(["\n", "\r\n", "\r"][ending]);
        let sent = sample.sent();
        let (mut rest, mut pieces) = (sent.as_bytes(), Vec::new());
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let (reply, record) = answered(&config, &sample, &pieces);
        assert_whole(&sample, &reply, &record);
    }
}
