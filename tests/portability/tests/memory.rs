//! What the core holds of an answer at a time is bounded (invariant 10).
#![cfg(test)]

use std::sync::Arc;

use bytes::Bytes;
use weir::Config;
use weir::ledger::record::Ending;
use weir::ledger::usage::Tokens;
use weir_portability::{Answer, Beat, End, Reply, Shell, config, exchange, post, samples};

const MIB: usize = 1 << 20;
/// What is held back until the first word.
const HELD_BACK: usize = 64 << 10;
const PIECE: usize = 16 << 10;

fn one() -> Arc<Config> {
    config(
        r#"
        auth = "open"
        server = { max_event = "1MiB" }
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        retry = { attempts = 1 }
        "#,
    )
}

/// Eight megabytes of `piece` behind `first`.
fn flood(first: &str, piece: &Bytes) -> (Reply, Ending) {
    let shell = Shell::default();
    let pieces = (0..8 * MIB / piece.len()).map(|_| Beat::Bytes(piece.clone()));
    let first = Beat::Bytes(first.to_owned().into());
    shell.script("a", [Answer::events("").beats([first].into_iter().chain(pieces)).ending(End::Silent)]);
    let sample = samples::chat_with_usage();
    let reply = exchange(&shell, &one(), post(shell.clock(), sample.path, sample.request));
    let ending = shell.records()[0].ending;
    (reply, ending)
}

#[test]
fn an_event_without_end_is_given_up_at_its_bound() {
    let word = samples::chat_with_usage().events[1].sent.clone();
    let endless = Bytes::from(vec![b'x'; PIECE]);
    for (label, first, ending) in [
        ("before the first word", "data: ".to_owned(), Ending::EventTooLarge),
        ("behind it", format!("{word}data: "), Ending::EventTooLarge),
        ("in a comment", format!("{word}: "), Ending::EventTooLarge),
    ] {
        let (reply, got) = flood(&first, &endless);
        assert_eq!(got, ending, "{label}");
        assert!(reply.held <= MIB + HELD_BACK + PIECE, "{label}: {} bytes", reply.held);
    }
}

#[test]
fn lines_without_end_are_given_up_at_their_bound() {
    let word = samples::chat_with_usage().events[1].sent.clone();
    let (reply, ending) = flood(&format!("{word}data: "), &Bytes::from(b"x\ndata: ".repeat(PIECE / 8)));
    assert_eq!(ending, Ending::EventTooLarge);
    assert!(reply.held <= MIB + HELD_BACK + PIECE, "{} bytes", reply.held);
}

#[test]
fn a_preamble_without_end_is_not_gathered() {
    let (reply, ending) = flood("", &Bytes::from(b": ping\n\n".repeat(PIECE / 8)));
    assert_eq!(ending, Ending::Stalled);
    assert!(reply.held <= HELD_BACK + 2 * PIECE, "{} bytes", reply.held);
}

#[test]
fn a_stream_is_not_read_ahead_of_its_client() {
    let word = samples::chat_with_usage().events[1].sent.clone();
    let (reply, _) = flood("", &Bytes::from(word.repeat(100)));
    assert!(reply.held <= 2 * 100 * word.len(), "{} bytes", reply.held);
}

/// Reading, and what it is known by in the cache and by its Idempotency-Key.
#[test]
fn a_large_answer_is_read_beside_what_is_served_as_well() {
    for (length, computed) in [(100, 0), (MIB, 1)] {
        let shell = Shell::default();
        let sample = samples::chat_with_usage();
        let answer = format!(
            r#"{{"choices":[{{"message":{{"content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":4}}}}"#,
            "b".repeat(length)
        );
        shell.script("a", [Answer::json(answer)]);
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let reply = exchange(&shell, &one(), post(shell.clock(), sample.path, body));
        assert_eq!((reply.status, shell.computed()), (200, computed), "{length} bytes");
        let usage = shell.records()[0].usage;
        assert_eq!(
            (usage.input, usage.output),
            (Tokens(3), Tokens(4)),
            "{length} bytes: what was read elsewhere counts"
        );
    }
}

#[test]
fn large_bodies_alone_are_read_beside_what_is_served() {
    let config = config(
        r#"
        auth = "open"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        cache = { ttl = "1h" }
        "#,
    );
    for (length, computed) in [(100, 0), (MIB, 3)] {
        let shell = Shell::default();
        let sample = samples::chat_with_usage();
        shell.script(
            "a",
            [Answer::json(r#"{"choices":[{"message":{"content":"b"},"finish_reason":"stop"}]}"#)],
        );
        let body = format!(
            r#"{{"model":"m","temperature":0,"messages":[{{"role":"user","content":"{}"}}]}}"#,
            "a".repeat(length)
        );
        let mut request = post(shell.clock(), sample.path, body);
        request.headers_mut().insert("idempotency-key", http::HeaderValue::from_static("k"));
        let reply = exchange(&shell, &config, request);
        assert_eq!((reply.status, shell.computed()), (200, computed), "{length} bytes");
    }
}
