//! An upstream's answer, any bytes at all: the client gets a whole answer or an error, and the books close.
#![cfg(test)]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use weir::Config;
use weir::dialect::endpoint::Operation;
use weir::dialect::openai::replay;
use weir::ledger::record::Ending;
use weir::wire::sse::frames;
use weir_fuzz::{CANARY, pieces};
use weir_portability::{Answer, Beat, Reply, Shell, config, exchange, post};

/// Checked once: it is the answers that vary.
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| config(DOCUMENT));

const DOCUMENT: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
[[route]]
model = "*"
to = ["a"]
"#;

/// What `KEY_A` is.
const KEY: &str = "sk-canary-a";

const STREAMED: &str = r#"{"model":"m","stream":true,"messages":[]}"#;
const ASKED: &str = r#"{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}"#;
const WHOLE: &str = r#"{"model":"m","messages":[]}"#;

#[test]
fn answer() {
    bolero::check!().for_each(holds);
}

#[test]
fn answer_damaged() {
    weir_fuzz::mutants("answer", 20).for_each(|bytes| holds(&bytes));
}

fn holds(bytes: &[u8]) {
    for request in [STREAMED, ASKED] {
        let (reply, ending) = ask(request, Answer::events(""), bytes);
        is_whole_or_says_so(&reply, ending);
        // A whole answer for whoever wants a stream is told as events.
        if bytes.trim_ascii_start().starts_with(b"{") {
            continue;
        }
        if request == STREAMED {
            is_replayed_as_it_was(&reply, ending, bytes);
        }
        if request == ASKED && ending == Ending::Complete {
            let body = reply.body();
            let end = body.len() - usize::from(!bytes.starts_with(&body)) * 2;
            assert!(bytes.starts_with(&body[..end]), "the bytes that came are the bytes that go");
        }
    }
    let (reply, ending) = ask(WHOLE, Answer::json(""), bytes);
    match ending {
        Ending::Complete => {
            // A stream for whoever wants a whole answer is put together.
            let whole = replay::to_whole(Operation::Chat, bytes);
            assert_eq!(reply.body(), whole.unwrap_or_else(|| Bytes::copy_from_slice(bytes)));
        }
        _ => is_refused(&reply),
    }
    let (reply, _) = ask(WHOLE, Answer::new(400, "application/json", ""), bytes);
    is_refused(&reply);
    let (reply, _) = ask(STREAMED, Answer::new(503, "text/html", ""), bytes);
    is_refused(&reply);
}

/// What the cache would make of the bytes is what the client has got, and of a part it makes nothing.
fn is_replayed_as_it_was(live: &Reply, ending: Ending, bytes: &[u8]) {
    if ending == Ending::Complete {
        let stored = Bytes::copy_from_slice(bytes);
        assert_eq!(replay::without_usage(Operation::Chat, &stored), live.body());
    } else if ending != Ending::Failed {
        // What failed as a whole, by its first bytes, is asked of nothing: none of it has gone out.
        assert_eq!(replay::to_whole(Operation::Chat, bytes), None, "{ending:?}");
    }
}

/// Asks once, the answer coming in pieces.
fn ask(request: &'static str, answer: Answer, bytes: &[u8]) -> (Reply, Ending) {
    let shell = Shell::default();
    let beats = pieces(bytes).into_iter().flat_map(|piece| [Beat::Bytes(piece.to_vec().into()), Beat::Yield]);
    shell.script("a", [answer.beats(beats)]);
    let reply = exchange(&shell, &CONFIG, post(shell.clock(), "/v1/chat/completions", request));
    let records = shell.records();
    assert_eq!((records.len(), shell.in_flight()), (1, 0), "one record, and nothing is held");
    let record = format!("{:?} {:?}", records[0].attempts, shell.events());
    assert!(!record.contains(CANARY) && !record.contains(KEY), "{record}");
    (reply, records[0].ending)
}

/// `[DONE]` stands at the end of a complete answer, once, and nowhere else.
fn is_whole_or_says_so(reply: &Reply, ending: Ending) {
    if reply.status != 200 {
        return is_refused(reply);
    }
    assert!(!reply.is_aborted, "a stream has words for it");
    let body = reply.body();
    let data: Vec<_> = frames(&body).filter_map(|frame| frame.data).collect();
    let done = data.iter().filter(|data| data.trim_ascii() == b"[DONE]").count();
    let last = data.last().unwrap();
    if ending == Ending::Complete {
        assert_eq!((done, last.trim_ascii()), (1, &b"[DONE]"[..]));
    } else {
        assert_eq!(done, 0, "cut, and it says it is whole: {}", reply.text());
        let error: serde_json::Value = serde_json::from_slice(last).unwrap();
        assert!(says_something(&error), "{error}");
    }
}

/// An error in the dialect, without the gateway's credential.
fn is_refused(reply: &Reply) {
    assert!(reply.status >= 400, "{reply:?}");
    let body: serde_json::Value = serde_json::from_slice(&reply.body()).unwrap();
    assert!(says_something(&body), "{body}");
    assert!(!reply.text().contains(KEY), "{body}");
}

fn says_something(body: &serde_json::Value) -> bool {
    body["error"]["message"].as_str().is_some_and(|message| !message.trim().is_empty())
}
