//! Websockets that are relayed, byte for byte; the upstream is scripted, and so is the client.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use weir_native_tests::{Act, Gateway, Launch, Raw, Signal, Upstream, hash, reply, status, wait};

/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const AUTHORIZED: &str = "authorization: Bearer right\r\n";
const REALTIME: &str = "/v1/realtime?model=rt-a";

/// A masked close frame with 1000.
const GOODBYE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

fn opening(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n{headers}\r\n"
    )
}

fn switched() -> Act {
    Act::Send(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {ACCEPT}\r\nsec-websocket-protocol: realtime\r\n\r\n"
        )
        .into(),
    )
}

fn frame(bytes: &'static [u8]) -> Act {
    Act::Send(bytes.into())
}

/// A text of the upstream's.
fn text(event: &Value) -> Act {
    let event = event.to_string();
    let length = u16::try_from(event.len()).unwrap().to_be_bytes();
    Act::Send([&[0x81, 126], &length[..], event.as_bytes()].concat().into())
}

/// `rt-*` leads to `upstream`, where it is `up`, and then to `other`.
fn document(upstream: &Upstream, other: Option<&Upstream>, server: &str, key: &str) -> String {
    let other = other.map_or_else(String::new, |other| {
        format!("[upstream.two]\ndialect = \"openai\"\nbase_url = \"{}\"\n", other.base())
    });
    let fallback = if other.is_empty() { "" } else { "fallback = [\"two\"]\n" };
    format!(
        "passthrough = \"one\"\n{server}\n[upstream.one]\ndialect = \"openai\"\nbase_url = \"{}\"\napi_key = {{ env = \"ONE_KEY\" }}\n\
         {other}[[route]]\nmodel = \"rt-*\"\nto = [{{ upstream = \"one\", model = \"up\" }}]\n{fallback}\
         [key.me]\nhash = \"{}\"\nmodels = [\"rt-a\"]\npassthrough = [\"realtime\"]\n{key}",
        upstream.base(),
        hash("right")
    )
}

async fn start(document: String) -> Gateway {
    Launch::of(document).env("ONE_KEY", "sk-upstream").start().await
}

async fn gateway(upstream: &Upstream, server: &str) -> Gateway {
    start(document(upstream, None, server, "")).await
}

async fn open(gateway: &Gateway) -> Raw {
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(opening(REALTIME, AUTHORIZED)).await;
    raw.read_until("\r\n\r\n").await;
    raw
}

async fn until_gone(upstream: &Upstream) {
    wait::until("its connection is gone", async || (upstream.gone() == 1).then_some(())).await;
}

/// The code and the reason of the masked close frame that the upstream heard last.
fn heard_close(upstream: &Upstream) -> (u16, String) {
    let heard = upstream.heard();
    // Its mask is any four bytes, and so is what they make of the rest.
    let is_last = |at: usize| at + 6 + usize::from(heard[at + 1] & 0x7f) == heard.len();
    let mut pairs = heard.windows(2).enumerate();
    let found = pairs.find(|(at, pair)| pair[0] == 0x88 && pair[1] >= 0x82 && is_last(*at));
    let (at, _) = found.expect("a close frame, whole, and nothing behind it");
    let (mask, payload) = heard[at + 2..].split_at(4);
    let plain: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    (u16::from_be_bytes([plain[0], plain[1]]), String::from_utf8(plain[2..].to_vec()).unwrap())
}

#[tokio::test]
async fn frames_go_both_ways_and_so_does_the_close_code() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        vec![
            switched(),
            frame(b"\x81\x05hello\x82\x02\0\xff"),
            Act::Gate(Arc::clone(&opened)),
            frame(b"\x88\x05\x0b\xb8bye"),
            Act::UntilGone,
        ]
    })
    .await;
    let gateway = start(document(&upstream, None, "", "limits = { concurrent = 1 }\n")).await;
    let mut raw = Raw::connect(gateway.address).await;
    let headers = "sec-websocket-protocol: realtime, openai-insecure-api-key.right, openai-beta.realtime-v1\r\n\
                   sec-websocket-extensions: permessage-deflate\r\n";
    raw.send(opening(REALTIME, headers)).await;
    let head = raw.read_until("hello").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for header in [ACCEPT, "sec-websocket-protocol: realtime\r\n", "upgrade: websocket\r\n", "x-request-id: "]
    {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    let seen = upstream.until_seen(1).await.remove(0);
    assert_eq!(seen.target, "/v1/realtime?model=up");
    for (name, expected) in [
        ("authorization", Some("Bearer sk-upstream")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-key", Some(KEY)),
        ("sec-websocket-protocol", Some("realtime, openai-beta.realtime-v1")),
        ("sec-websocket-extensions", None),
    ] {
        assert_eq!(seen.header(name), expected, "{name}");
    }
    // It holds its place.
    let mut second = Raw::connect(gateway.address).await;
    second.send(opening(REALTIME, AUTHORIZED)).await;
    assert_eq!(status(&second.status_line().await), 429);
    let open = gateway.metrics().await.sum("weir_websockets_open", &["upstream=\"one\""]);
    assert!((open - 1.0).abs() < 0.5, "{open}");
    gate.add_permits(1);
    raw.read_until("bye").await;
    raw.send(b"\x88\x82\0\0\0\0\x0b\xb8").await;
    let all = raw.to_end().await;
    assert!(all.ends_with("bye"), "{all:?}");
    let record = gateway.record().await;
    for (field, expected) in [
        ("operation", json!("realtime")),
        ("status", json!(101)),
        ("ending", json!("complete")),
        ("websocket_sent", json!(8)),
        ("websocket_received", json!(18)),
        ("websocket_code", json!(3000)),
    ] {
        assert_eq!(record[field], expected, "{field} of {record}");
    }
    assert_eq!(heard_close(&upstream), (3000, String::new()));
    gateway
        .until_metrics("it is counted", |metrics| {
            let bytes = metrics.sum("weir_websocket_bytes_total", &["direction=\"received\""]);
            let ended = metrics.sum("weir_websockets_ended_total", &["ending=\"complete\""]);
            (bytes - 18.0).abs() < 0.5
                && (ended - 1.0).abs() < 0.5
                && metrics.sum("weir_websockets_open", &[]).abs() < 0.5
        })
        .await;
    gateway.until_idle().await;
    let said = gateway.everything_said().await;
    for secret in ["right", "sk-upstream", "hello"] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}

#[tokio::test]
async fn what_a_client_sends_arrives_and_its_close_code_is_noted() {
    let upstream = Upstream::start(|_| vec![switched(), frame(b"\x88\x02\x03\xe8"), Act::UntilGone]).await;
    let gateway = gateway(&upstream, "").await;
    let mut raw = open(&gateway).await;
    let sent = [b"\x81\x82\x01\x02\x03\x04ik", GOODBYE].concat();
    raw.send(&sent).await;
    raw.to_end().await;
    let record = gateway.record().await;
    assert_eq!(
        (&record["ending"], &record["websocket_code"]),
        (&json!("complete"), &json!(1000)),
        "{record}"
    );
    assert_eq!(record["websocket_sent"], 16, "{record}");
    assert_eq!(upstream.heard(), sent);
    gateway.until_idle().await;
}

#[tokio::test]
async fn usage_that_events_report_is_metered() {
    let done = |input: u64| {
        json!({"type": "response.done", "event_id": "e", "response": {"object": "realtime.response",
        "output": [], "usage": {"total_tokens": input + 7, "input_tokens": input, "output_tokens": 7,
        "input_token_details": {"cached_tokens": 3, "audio_tokens": 1}}}})
    };
    let upstream = Upstream::start(move |_| {
        let close = frame(b"\x88\x02\x03\xe8");
        vec![switched(), text(&done(10)), text(&done(20)), close, Act::UntilGone]
    })
    .await;
    let gateway = gateway(&upstream, "").await;
    let mut raw = open(&gateway).await;
    raw.send(GOODBYE).await;
    raw.to_end().await;
    let record = gateway.record().await;
    let usage = ["input_tokens", "output_tokens", "cached_tokens"].map(|field| record[field].as_u64());
    assert_eq!(usage, [Some(30), Some(14), Some(6)], "{record}");
}

#[tokio::test]
async fn a_client_that_vanishes_is_told_of_and_gives_its_place_back() {
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let gateway = start(document(&upstream, None, "", "limits = { concurrent = 1 }\n")).await;
    open(&gateway).await.reset();
    let record = gateway.record().await;
    assert_eq!(
        (&record["ending"], &record["websocket_code"]),
        (&json!("client_gone"), &json!(1001)),
        "{record}"
    );
    until_gone(&upstream).await;
    assert_eq!(heard_close(&upstream), (1001, "the client has gone".into()));
    gateway.until_idle().await;
    let raw = open(&gateway).await;
    drop(raw);
}

#[tokio::test]
async fn an_upstream_that_vanishes_is_told_of() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        vec![switched(), frame(b"\x81\x02hi"), Act::Gate(Arc::clone(&opened)), Act::Reset]
    })
    .await;
    let gateway = gateway(&upstream, "").await;
    let mut raw = open(&gateway).await;
    raw.read_until("hi").await;
    gate.add_permits(1);
    let told = raw.to_end().await;
    assert!(told.ends_with("\u{3}\u{fffd}the upstream has gone without a close frame"), "{told:?}");
    let record = gateway.record().await;
    assert_eq!((&record["ending"], &record["websocket_code"]), (&json!("reset"), &json!(1011)), "{record}");
    gateway.until_idle().await;
}

#[tokio::test]
async fn what_may_not_be_opened_is_refused_before_the_upstream_is_asked() {
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let gateway = gateway(&upstream, "").await;
    let of_browser = "sec-websocket-protocol: realtime, openai-insecure-api-key.wrong\r\n";
    for (name, path, headers, expected) in [
        ("no key", REALTIME, "", 401),
        ("a wrong key", REALTIME, "authorization: Bearer wrong\r\n", 401),
        ("a wrong key of a browser", REALTIME, of_browser, 401),
        ("a forbidden model", "/v1/realtime?model=rt-b", AUTHORIZED, 404),
        ("a model in another spelling", "/v1//realtime/?model=rt-b", AUTHORIZED, 404),
        ("two models", "/v1/realtime?model=rt-a&model=rt-b", AUTHORIZED, 400),
        ("no model", "/v1/realtime", AUTHORIZED, 403),
        ("a call", "/v1/responses?model=rt-a", AUTHORIZED, 405),
    ] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(opening(path, headers)).await;
        assert_eq!(status(&raw.status_line().await), expected, "{name}");
    }
    for (part, replacement, expected) in [
        ("version: 13", "version: 8", 426),
        ("upgrade: WebSocket\r\n", "", 400),
        ("keep-alive, Upgrade", "keep-alive", 400),
        (KEY, "short", 400),
        (&format!("sec-websocket-key: {KEY}\r\n"), "", 400),
    ] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(opening(REALTIME, AUTHORIZED).replace(part, replacement)).await;
        let head = raw.read_until("\r\n\r\n").await;
        assert_eq!(status(&head), expected, "{part}: {head}");
        assert_eq!(head.contains("sec-websocket-version: 13\r\n"), expected == 426, "{head}");
    }
    assert!(upstream.seen().is_empty());
}

/// Where no key is asked for, a page's origin is all that tells it from a program of this machine.
#[tokio::test]
async fn a_foreign_page_opens_none_at_an_open_gateway() {
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let gateway =
        Gateway::start(upstream.document("[server]\ncors = { origins = [\"https://app.example\"] }")).await;
    for (origin, expected) in [("https://evil.example", 403), ("https://app.example", 101)] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(opening(REALTIME, &format!("origin: {origin}\r\n"))).await;
        assert_eq!(status(&raw.status_line().await), expected, "{origin}");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_is_judged_as_with_any_call() {
    for (answer, expected, words) in [
        ("404 Not Found", 404, "no such model"),
        ("400 Bad Request", 400, "no such model"),
        ("429 Too Many Requests", 429, "no such model"),
        ("401 Unauthorized", 502, "credential"),
        ("200 OK", 502, "it opened no websocket"),
    ] {
        let upstream = Upstream::start(move |_| vec![reply::error(answer, "no such model")]).await;
        let gateway = gateway(&upstream, "").await;
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(opening(REALTIME, AUTHORIZED)).await;
        let told = raw.read_until(words).await;
        assert_eq!(status(&told), expected, "{answer}: {told}");
        gateway.until_idle().await;
        assert_eq!(gateway.record().await["websocket_code"], Value::Null);
    }
}

#[tokio::test]
async fn a_handshake_goes_on_to_the_next_candidate_and_is_heard_by_the_breaker() {
    let failing = Upstream::start(|_| vec![reply::error("503 Service Unavailable", "down")]).await;
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let mut document = document(&failing, Some(&upstream), "", "");
    document = document.replace("[upstream.two]", "breaker = { consecutive = 2 }\n[upstream.two]");
    let gateway = start(document).await;
    let mut sessions = Vec::new();
    for asked in [1, 2, 2] {
        sessions.push(open(&gateway).await);
        gateway
            .until_metrics("its findings are told while it is open", |metrics| {
                metrics.sum("weir_websockets_open", &[])
                    > f64::from(u8::try_from(sessions.len()).unwrap()) - 0.5
            })
            .await;
        assert_eq!(failing.seen().len(), asked);
    }
}

#[tokio::test]
async fn an_answer_that_switches_to_something_else_opens_none() {
    for head in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let upstream = Upstream::start(move |_| vec![Act::Send(head.into()), Act::UntilGone]).await;
        let gateway = gateway(&upstream, "").await;
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(opening(REALTIME, AUTHORIZED)).await;
        assert_eq!(status(&raw.status_line().await), 502);
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn a_session_ends_at_its_bounds_with_a_word_to_both() {
    for (server, ending, code, reason) in [
        ("websocket = { idle = \"1s\" }", "idle", 1001, "nothing was said for too long"),
        ("websocket = { total = \"1s\" }", "expired", 1001, "the session has lasted for as long as it may"),
        ("max_event = 4", "message_too_large", 1009, "a message is larger than this gateway takes"),
    ] {
        let upstream =
            Upstream::start(|_| vec![switched(), frame(b"\x82\x03abc\x82\x05large"), Act::UntilGone]).await;
        let gateway = gateway(&upstream, &format!("[server]\n{server}")).await;
        let mut raw = open(&gateway).await;
        let told = raw.to_end().await;
        assert!(told.ends_with(reason), "{server}: {told:?}");
        let has_large = told.contains("abc\u{fffd}\u{5}large");
        assert_eq!(has_large, ending != "message_too_large", "{server}: {told:?}");
        let record = gateway.record().await;
        assert_eq!(
            (&record["ending"], &record["websocket_code"]),
            (&json!(ending), &json!(code)),
            "{record}"
        );
        until_gone(&upstream).await;
        assert_eq!(heard_close(&upstream), (code, reason.into()));
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn a_message_of_a_client_above_the_bound_is_not_sent_on() {
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let gateway = gateway(&upstream, "[server]\nmax_event = \"1KiB\"").await;
    let mut raw = open(&gateway).await;
    // It announces 4 GiB.
    raw.send(b"\x81\x82\x01\x02\x03\x04ik\x82\xff\0\0\0\x01\0\0\0\0\x01\x02\x03\x04abc").await;
    let told = raw.to_end().await;
    assert!(told.ends_with("\u{3}\u{fffd}a message is larger than this gateway takes"), "{told:?}");
    let record = gateway.record().await;
    assert_eq!((&record["ending"], &record["websocket_sent"]), (&json!("message_too_large"), &json!(8)));
    until_gone(&upstream).await;
    assert_eq!(heard_close(&upstream).0, 1009);
}

#[tokio::test]
async fn a_gateway_that_stops_says_goodbye_to_both() {
    let upstream = Upstream::start(|_| vec![switched(), Act::UntilGone]).await;
    let mut gateway = gateway(&upstream, "").await;
    let mut raw = open(&gateway).await;
    gateway.signal(Signal::Terminate);
    let told = raw.to_end().await;
    assert!(told.ends_with("\u{3}\u{fffd}the gateway is going away"), "{told:?}");
    assert!(gateway.end(Duration::from_secs(10)).await.success());
    let record = gateway.record().await;
    assert_eq!(
        (&record["ending"], &record["websocket_code"]),
        (&json!("going_away"), &json!(1001)),
        "{record}"
    );
    until_gone(&upstream).await;
    assert_eq!(heard_close(&upstream), (1001, "the gateway is going away".into()));
}
