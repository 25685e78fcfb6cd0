//! Clients that leave, and clients that send rubbish.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use weir_native_tests::{Act, Raw, Upstream, chat_bytes, reply, status, streamed_chat_body, wait};

use crate::{logged, start};

#[tokio::test]
async fn who_leaves_before_the_head_ends_the_call_and_is_accounted() {
    let upstream = Upstream::start(|_| vec![Act::UntilGone]).await;
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": upstream.document("") } }));
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    upstream.until_seen(1).await;
    raw.reset();
    wait::until("the end of the call", async || wait::holds(upstream.gone() == 1)).await;
    logged(&gateway, &["\"message\":\"request\"", "\"ending\":\"client_gone\""]).await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_ends_the_call_and_is_accounted() {
    let script = |_: &_| vec![reply::stream_head(), reply::content("one"), Act::UntilGone];
    let upstream = Upstream::start(script).await;
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": upstream.document("") } }));
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    raw.read_until("one").await;
    raw.reset();
    wait::until("the end of the call", async || wait::holds(upstream.gone() == 1)).await;
    let line = logged(&gateway, &["\"message\":\"request\"", "\"ending\":\"client_gone\""]).await;
    assert!(line.contains("\"usage\":\"counted\""), "{line}");
}

/// Some leave before there is a head, some with it, some in the middle, and some read to the end.
#[tokio::test]
async fn nothing_is_kept_of_those_who_leave() {
    let script = |seen: &weir_native_tests::Seen| {
        let mut acts = vec![reply::stream_head(), reply::content("one"), reply::content("two")];
        acts.push(if seen.text().contains("stays") { reply::farewell() } else { Act::UntilGone });
        acts
    };
    let upstream = Upstream::start(script).await;
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": upstream.document("") } }));
    for round in 0..40 {
        let model = if round % 4 == 3 { "stays" } else { "m" };
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(chat_bytes(&streamed_chat_body(model), "connection: close\r\n")).await;
        match round % 4 {
            0 => {}
            1 => drop(raw.read_until("200").await),
            2 => drop(raw.read_until("two").await),
            _ => drop(raw.to_end().await),
        }
        raw.reset();
    }
    wait::until("the books of all of them", async || {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await;
        let shown = raw.to_end().await;
        wait::holds(shown.contains("\nweir_in_flight 0\n") && upstream.gone() >= 20)
    })
    .await;
}

/// Bodies that have broken parsers, with what is said of them.
fn rubbish() -> Vec<(&'static str, Vec<u8>)> {
    let deep = "[".repeat(200_000).into_bytes();
    let chat = |what: &str| format!("{{\"model\":\"m\",\"messages\":[],{what}}}").into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("half of an object", b"{\"model\":\"m\",\"mess".to_vec()),
        ("no text", vec![0xff; 5000]),
        ("half of a character", b"{\"model\":\"\xe2\x82".to_vec()),
        ("a lone surrogate", chat("\"x\":\"\\ud800\"")),
        ("a depth without end", deep),
        ("a number without end", chat(&format!("\"n\":{}", "9".repeat(5000)))),
        ("a negative number", chat("\"n\":-1,\"max_tokens\":-9223372036854775808")),
        ("a large exponent", chat("\"temperature\":1e999999999")),
        ("a thousand keys of one name", chat(&vec!["\"model\":\"m\""; 1000].join(","))),
        ("a long model", format!("{{\"model\":\"{}\",\"messages\":[]}}", "m".repeat(200_000)).into_bytes()),
        ("another type", b"[1,2,3]".to_vec()),
        ("no JSON", b"--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n".to_vec()),
    ]
}

#[tokio::test]
async fn rubbish_hurts_nobody_else_in_flight() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = move |seen: &weir_native_tests::Seen| {
        if !seen.text().contains("rivers") {
            return vec![reply::error("400 Bad Request", "no")];
        }
        let mut acts = vec![reply::stream_head(), reply::content("begun"), Act::Gate(Arc::clone(&held))];
        acts.extend([reply::content("finished"), reply::farewell()]);
        acts
    };
    let upstream = Upstream::start(script).await;
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": upstream.document("") } }));
    let mut neighbours = Vec::new();
    for _ in 0..8 {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(chat_bytes(&streamed_chat_body("m"), "connection: close\r\n")).await;
        raw.read_until("begun").await;
        neighbours.push(raw);
    }
    for (what, body) in rubbish() {
        for (path, kind) in [
            ("/v1/chat/completions", "application/json"),
            ("/v1/messages", "application/json"),
            ("/v1/audio/transcriptions", "multipart/form-data; boundary=x"),
            ("/v1/%zz/../%00", "application/json"),
        ] {
            let mut raw = Raw::connect(gateway.address).await;
            let head = format!(
                "POST {path}?{what}= HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\nx-weir-explain: 1\r\n\
                 traceparent: {what}\r\nidempotency-key: {what}\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            )
            .replace(&format!("?{what}"), &format!("?{}", what.replace(' ', "%20")));
            raw.send(head).await;
            raw.send(&body).await;
            let answer = raw.to_end().await;
            assert!((200..500).contains(&status(&answer)), "{what} at {path}: {answer}");
        }
    }
    gate.add_permits(8);
    for mut neighbour in neighbours {
        let whole = neighbour.to_end().await;
        assert!(whole.contains("finished") && whole.contains("[DONE]"), "{whole}\n{}", gateway.log.text());
    }
    gate.add_permits(1);
    let mut next = Raw::connect(gateway.address).await;
    next.send(chat_bytes(&streamed_chat_body("m"), "connection: close\r\n")).await;
    let answer = next.to_end().await;
    assert!(answer.contains("[DONE]"), "{answer}");
    let log = gateway.log.text();
    assert!(!log.contains("RuntimeError") && !log.contains("panicked") && !log.contains("Critical"), "{log}");
}

/// An isolate holds a body several times on its way, and has 128 MB in all.
#[tokio::test]
async fn a_body_that_an_isolate_could_not_hold_is_refused_by_its_length() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": upstream.document("") } }));
    let mut raw = Raw::connect(gateway.address).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    raw.send(format!("{head}content-length: {}\r\n\r\n", (16 << 20) + 1)).await;
    let answer = raw.read_until("request_too_large").await;
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(upstream.seen().is_empty());
}
