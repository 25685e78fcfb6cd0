//! Events that no client could make sense of, and bytes that only look like trouble: what of them reaches the
//! client behind the first word (invariant 11), and what the books say.
#![cfg(test)]

use serde_json::{Value, json};
use weir::ledger::record::{Ending, Record};
use weir_portability::{Answer, Beat, Reply, Shell, config, exchange, post};

const ONE: &str = r#"
auth = "open"
[upstream.a]
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
[[route]]
model = "*"
to = ["a"]
"#;

const CHAT: &str = r#"{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}"#;
const RESPONSES: &str = r#"{"model":"m","stream":true,"input":"hi"}"#;

const WORD: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
const DELTA: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"delta\":\"Hi\"}\n\n";

fn answered(path: &str, request: &'static str, pieces: &[&[u8]]) -> (Reply, Record) {
    let shell = Shell::default();
    let beats = pieces.iter().flat_map(|piece| [Beat::Bytes(piece.to_vec().into()), Beat::Yield]);
    shell.script("a", [Answer::events("").beats(beats)]);
    let reply = exchange(&shell, &config(ONE), post(shell.clock(), path, request));
    assert_eq!((reply.status, shell.in_flight(), shell.records().len()), (200, 0, 1));
    (reply, shell.records().remove(0))
}

fn chat(pieces: &[&[u8]]) -> (Reply, Record) {
    answered("/v1/chat/completions", CHAT, pieces)
}

/// The error in the one event behind `before`.
fn error_behind(text: &str, before: &str) -> Value {
    let event = text.strip_prefix(before).and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
    assert!(!event.contains("\n\n"), "one event: {event:.200}");
    let data = event.strip_prefix("event: error\n").unwrap_or(event).strip_prefix("data: ").unwrap();
    serde_json::from_str(data).unwrap()
}

#[test]
fn what_is_no_event_of_the_api_ends_the_answer_with_an_error() {
    for (label, event) in [
        ("JSON that stops", b"data: {\"choices\":\n\n".as_slice()),
        ("no JSON", b"data: <html>\n\n"),
        ("no object", b"data: 7\n\n"),
    ] {
        // In one piece with the word before it, and by itself; a terminator behind it changes nothing.
        let (first, second) = event.split_at(event.len() / 2);
        for pieces in
            [vec![WORD.as_bytes(), event], vec![WORD.as_bytes(), first, second, b"data: [DONE]\n\n"]]
        {
            let (reply, record) = chat(&pieces);
            let error = error_behind(&reply.text(), WORD);
            assert_eq!(error["error"]["type"], "server_error", "{label}");
            assert_eq!(error["error"]["code"], "upstream_error", "{label}");
            assert_eq!(record.ending, Ending::Malformed, "{label}");
        }
    }
}

#[test]
fn an_event_beyond_the_bound_ends_the_answer_and_says_nothing_against_the_upstream() {
    let bounded = config(&ONE.replace("auth = \"open\"", "auth = \"open\"\nserver = { max_event = 1000 }"));
    let event = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(1000));
    for pieces in [
        vec![WORD.as_bytes(), event.as_bytes()],
        vec![WORD.as_bytes(), &event.as_bytes()[..1001]],
        event.as_bytes().chunks(1).collect(),
    ] {
        let is_first = pieces.len() > 2;
        let shell = Shell::default();
        let beats = pieces.iter().flat_map(|piece| [Beat::Bytes(piece.to_vec().into()), Beat::Yield]);
        shell.script("a", [Answer::events("").beats(beats)]);
        let reply = exchange(&shell, &bounded, post(shell.clock(), "/v1/chat/completions", CHAT));
        let error = if is_first {
            assert_eq!(reply.status, 502);
            assert_eq!(reply.header("x-should-retry"), "false");
            serde_json::from_str(&reply.text()).unwrap()
        } else {
            error_behind(&reply.text(), WORD)
        };
        assert_eq!(error["error"]["code"], "answer_too_large");
        assert!(error["error"]["message"].as_str().unwrap().contains("max_event"), "{error}");
        let record = shell.records().remove(0);
        assert_eq!((record.ending, record.attempts.len()), (Ending::EventTooLarge, 1));
        assert_eq!(record.attempts[0].failure, None);
    }
}

#[test]
fn an_image_of_four_megabytes_comes_in_one_event() {
    let event = format!(
        "event: response.image_generation_call.partial_image\ndata: {{\"type\":\"response.image_generation_call.partial_image\",\"sequence_number\":1,\"partial_image_b64\":\"{}\"}}\n\n",
        "A".repeat(4 << 20),
    );
    let end = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n";
    let sent = [&event, end].concat();
    let pieces: Vec<&[u8]> = sent.as_bytes().chunks(16_384).collect();
    let (reply, record) = answered("/v1/responses", RESPONSES, &pieces);
    assert!(reply.text() == sent);
    assert_eq!(record.ending, Ending::Complete);
}

#[test]
fn bytes_that_are_no_text_pass() {
    let odd = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\"}}]}\n\n";
    let (reply, record) = chat(&[WORD.as_bytes(), odd, b"data: [DONE]\n\n"]);
    assert_eq!(&reply.body()[..], [WORD.as_bytes(), odd, b"data: [DONE]\n\n"].concat());
    assert_eq!(record.ending, Ending::Complete);
}

#[test]
fn a_terminator_before_the_end_of_every_choice_is_an_error() {
    let open = WORD.replace("\"index\":0", "\"index\":1").replace(",\"finish_reason\":\"stop\"", "");
    for before in [open.clone(), [WORD, &open].concat()] {
        let (reply, record) = chat(&[before.as_bytes(), b"data: [DONE]\n\n"]);
        assert_eq!(error_behind(&reply.text(), &before)["error"]["code"], "upstream_error");
        assert_eq!(record.ending, Ending::Truncated);
    }
}

#[test]
fn a_stream_that_needs_no_terminator_gets_one() {
    let lenient = config(&ONE.replace("[[route]]", "terminator = \"optional\"\n[[route]]"));
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\n";
    let open = WORD.replace(",\"finish_reason\":\"stop\"", "");
    for (sent, is_complete) in [
        ([WORD, usage].concat(), true),
        (WORD.to_owned(), true),
        (open, false),
        ([WORD, "data: {"].concat(), false),
    ] {
        let shell = Shell::default();
        shell.script("a", [Answer::events(sent.clone())]);
        let reply = exchange(&shell, &lenient, post(shell.clock(), "/v1/chat/completions", CHAT));
        let record = shell.records().remove(0);
        assert_eq!(reply.text() == [&sent, "data: [DONE]\n\n"].concat(), is_complete, "{}", reply.text());
        assert_eq!(record.ending, if is_complete { Ending::Complete } else { Ending::Truncated }, "{sent}");
    }
}

#[test]
fn a_word_in_the_same_piece_as_the_fault_is_still_delivered() {
    let piece = [WORD, "data: {\n\n", "data: [DONE]\n\n"].concat();
    let (reply, record) = chat(&[piece.as_bytes()]);
    assert_eq!(error_behind(&reply.text(), WORD)["error"]["code"], "upstream_error");
    assert_eq!(record.ending, Ending::Malformed);
}

#[test]
fn an_upstreams_error_event_is_rebuilt_and_ends_the_answer() {
    for (label, event, message, code) in [
        (
            "its own words",
            r#"{"error":{"message":"boom","type":"x","param":null,"code":"y"}}"#,
            "boom",
            json!("y"),
        ),
        (
            "with the gateway's credential in it",
            r#"{"error":{"message":"key sk-canary-a is bad","code":null}}"#,
            "key *********** is bad",
            json!("upstream_error"),
        ),
        ("a plain string", r#"{"error":"boom"}"#, "boom", json!("upstream_error")),
        ("a number for a code", r#"{"error":{"message":"boom","code":500}}"#, "boom", json!("500")),
    ] {
        let event = format!("data: {event}\n\ndata: [DONE]\n\n");
        let (reply, record) = chat(&[WORD.as_bytes(), event.as_bytes()]);
        let error = error_behind(&reply.text(), WORD);
        let expected = json!({"message": message, "type": "server_error", "param": null, "code": code});
        assert_eq!(error["error"], expected, "{label}");
        assert_eq!(record.ending, Ending::UpstreamError, "{label}");
    }
}

#[test]
fn a_response_that_fails_says_so_itself_and_an_error_is_rebuilt() {
    let failed = r#"event: response.failed
data: {"type":"response.failed","sequence_number":4,"response":{"status":"failed","error":{"code":"server_error","message":"boom KEY"}}}

"#;
    let sent = failed.replace("KEY", "sk-canary-a");
    let (reply, record) = answered("/v1/responses", RESPONSES, &[DELTA.as_bytes(), sent.as_bytes()]);
    assert_eq!(reply.text(), [DELTA, &failed.replace("KEY", "***********")].concat());
    assert_eq!(record.ending, Ending::UpstreamError);

    let event = "event: error\ndata: {\"type\":\"error\",\"sequence_number\":4,\"code\":\"c\",\"message\":\"m sk-canary-a\",\"param\":null}\n\n";
    let (reply, record) = answered("/v1/responses", RESPONSES, &[DELTA.as_bytes(), event.as_bytes()]);
    let error = error_behind(&reply.text(), DELTA);
    assert_eq!(
        (&error["type"], &error["message"], &error["code"]),
        (&json!("error"), &json!("m ***********"), &json!("c"))
    );
    assert!(error["sequence_number"].as_u64() >= Some(4));
    assert_eq!(record.ending, Ending::UpstreamError);
}

#[test]
fn an_error_that_is_the_callers_doing_is_not_the_upstreams() {
    let event = "data: {\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"content_filter\"}}\n\n";
    let (reply, record) = chat(&[WORD.as_bytes(), event.as_bytes()]);
    let expected = json!({"message": "m", "type": "t", "param": null, "code": "content_filter"});
    assert_eq!(error_behind(&reply.text(), WORD)["error"], expected);
    assert_eq!(record.ending, Ending::Rejected);
}

#[test]
fn the_terminator_of_another_dialect_is_none() {
    let (reply, record) = answered("/v1/responses", RESPONSES, &[DELTA.as_bytes(), b"data: [DONE]\n\n"]);
    assert_eq!(error_behind(&reply.text(), DELTA)["type"], "error");
    assert_eq!(record.ending, Ending::Truncated);
}

#[test]
fn what_clients_ignore_goes_by_untouched() {
    for (label, before, terminator) in [
        ("comments", ": ping\n\n:\n\n", "data: [DONE]\n\n"),
        ("events without data", "data:\n\ndata: null\n\n", "data: [DONE]\n\n"),
        ("pings", "event: ping\ndata: {}\n\nevent: keepalive\ndata: now\n\n", "data: [DONE]\n\n"),
        ("names, ids and retry hints", "event: x\nid: 7\nretry: 10\n\n", "data: [DONE]\n\n"),
        ("unknown fields of a chunk", "data: {\"choices\":[],\"x\":{\"y\":[1e400]}}\n\n", "data: [DONE]\n\n"),
        ("a terminator without its space", "", "data:[DONE]\n\n"),
        ("a terminator with a name", "", "event: done\ndata: [DONE]\n\n"),
        ("data over several lines", "data: {\"choices\":\ndata: []}\n\n", "data: [DONE]\n\n"),
        ("blank lines", "\n\n\n", "data: [DONE]\n\n"),
        ("a byte order mark", "\u{feff}: x\n\n", "data: [DONE]\n\n"),
    ] {
        let sent = [before, WORD, before, terminator].concat();
        let (reply, record) = chat(&[sent.as_bytes()]);
        assert_eq!(reply.text(), sent, "{label}");
        assert_eq!(record.ending, Ending::Complete, "{label}");
    }
}

#[test]
fn a_terminator_without_its_blank_line_gets_one() {
    for terminator in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r\n", "data: [DONE]\r"] {
        let (reply, record) = chat(&[WORD.as_bytes(), terminator.as_bytes()]);
        let text = reply.text();
        let rest = text.strip_prefix(WORD).unwrap();
        assert!(rest.starts_with(terminator) && rest.ends_with("\n\n"), "{text:?}");
        assert_eq!(record.ending, Ending::Complete, "{terminator:?}");
    }
}

#[test]
fn half_an_event_behind_the_last_whole_one_is_not_delivered() {
    let (reply, record) = chat(&[WORD.as_bytes(), &WORD.as_bytes()[..WORD.len() - 1]]);
    assert_eq!(error_behind(&reply.text(), WORD)["error"]["type"], "server_error");
    assert_eq!(record.ending, Ending::Truncated);
}

#[test]
fn nothing_is_delivered_behind_the_terminator() {
    let complete = [WORD, "data: [DONE]\n\n"].concat();
    for behind in ["data: {\"error\":{\"message\":\"late\"}}\n\n", "garbage", WORD, ": bye\n\n"] {
        for pieces in [vec![[&complete, behind].concat()], vec![complete.clone(), behind.to_owned()]] {
            let pieces: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
            let (reply, record) = chat(&pieces);
            assert_eq!(reply.text(), complete, "{behind:?}");
            assert_eq!(record.ending, Ending::Complete, "{behind:?}");
        }
    }
}
