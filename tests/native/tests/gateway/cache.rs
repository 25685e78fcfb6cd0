//! Answers that are given again (invariants 6 to 8), over real sockets.

use std::fs;

use http::Request;
use serde_json::Value;
use weir_native_tests::{
    Act, Answer, Extra, Flow, Gateway, Outgoing, Upstream, chat_body, chat_request, hash, reply,
    streamed_chat_body,
};

const MIB: u64 = 1 << 20;

/// No limit on requests is what these tests are about.
const UNLIMITED: &str = "[limits.default]\nrequests = \"unlimited\"\n";

fn kept(upstream: &Upstream) -> String {
    upstream.document_with(&Extra { route: "cache = true", tables: UNLIMITED, ..Extra::default() })
}

/// Its first answer, and then another one.
async fn changing() -> Upstream {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |seen| {
        let text = format!("answer {}", count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        if seen.json()["stream"] == true { streamed(&text) } else { vec![reply::completion(&text)] }
    })
    .await
}

/// A whole stream that says why it ends.
fn streamed(text: &str) -> Vec<Act> {
    let finish = reply::event("").replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"");
    vec![reply::stream_head(), reply::content(text), Act::Send(reply::chunk(&finish)), reply::farewell()]
}

fn with_key(key: &str, body: &Value) -> Request<Outgoing> {
    let mut request = chat_request(body);
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// The text of a streamed chat, which must come to its end.
async fn text(mut flow: Flow) -> String {
    let events = flow.events().await;
    let (last, events) = events.split_last().unwrap();
    assert_eq!(last, "[DONE]");
    let contents = events.iter().map(|event| {
        let event: Value = serde_json::from_str(event).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    });
    contents.collect()
}

fn content(answer: &Answer) -> Value {
    answer.json()["choices"][0]["message"]["content"].clone()
}

#[tokio::test]
async fn a_hit_is_the_miss_byte_for_byte() {
    let spelled = "{ \"object\":\"chat.completion\", \"id\" : \"é\\u00e9\",\n \"choices\": [ {\"index\":0,\
                   \"message\":{\"role\":\"assistant\",\"content\":\"1.0e2\"},\"finish_reason\":\"stop\"} ] }  ";
    let kind = "application/json; charset=utf-8; x=y";
    let upstream = Upstream::start(move |_| vec![reply::response("200 OK", kind, spelled)]).await;
    let gateway = Gateway::start(kept(&upstream)).await;
    let miss = gateway.chat("m").await;
    assert_eq!((miss.status, miss.header("x-cache"), miss.header("age")), (200, "MISS", ""));
    let hit = gateway.chat("m").await;
    assert_eq!((hit.status, hit.header("x-cache"), hit.header("age")), (200, "HIT", "0"));
    assert_eq!((&hit.body, &miss.body), (&miss.body, &spelled.into()));
    assert_eq!((hit.header("content-type"), miss.header("content-type")), (kind, kind));
    assert_ne!(hit.header("x-request-id"), miss.header("x-request-id"));
    assert_eq!(upstream.seen().len(), 1);
    let metrics = gateway.metrics().await;
    for status in ["MISS", "HIT"] {
        let label = format!("status=\"{status}\"");
        let count = metrics.sum("weir_cache_total", &[&label]);
        assert!((count - 1.0).abs() < 0.1, "{status}: {count}");
    }
    assert!(metrics.sum("weir_cache_kept_bytes", &[]) > 100.0);
}

#[tokio::test]
async fn a_stream_is_kept_and_given_again_byte_for_byte() {
    let upstream = changing().await;
    let gateway = Gateway::start(kept(&upstream)).await;
    let body = streamed_chat_body("m");
    let miss = gateway.send(chat_request(&body)).await;
    let hit = gateway.send(chat_request(&body)).await;
    assert_eq!((miss.header("x-cache"), hit.header("x-cache")), ("MISS", "HIT"));
    assert_eq!(hit.text(), miss.text());
    assert_eq!(hit.header("content-type"), miss.header("content-type"));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn tenants_have_answers_of_their_own() {
    let upstream = changing().await;
    let keys: String = [("a1", "a"), ("a2", "a"), ("b", "b")]
        .map(|(name, tenant)| format!("[key.{name}]\nhash = \"{}\"\ntenant = \"{tenant}\"\n", hash(name)))
        .concat();
    let gateway = Gateway::start(upstream.document_with(&Extra {
        route: "cache = true",
        tables: &keys,
        ..Extra::default()
    }))
    .await;
    let body = chat_body("m");
    for (key, cache, told) in [
        ("a1", "MISS", "answer 0"),
        ("b", "MISS", "answer 1"),
        ("a2", "HIT", "answer 0"),
        ("b", "HIT", "answer 1"),
    ] {
        let answer = gateway.send(with_key(key, &body)).await;
        assert_eq!((answer.header("x-cache"), content(&answer)), (cache, told.into()), "{key}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn one_answer_is_told_in_both_forms() {
    let upstream = changing().await;
    let gateway = Gateway::start(kept(&upstream)).await;
    // Whole first.
    let whole = gateway.chat("m").await;
    let flow = gateway.stream("m").await;
    assert_eq!(flow.headers["x-cache"], "HIT");
    assert_eq!(flow.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(text(flow).await, content(&whole));
    // Streamed first, without usage and then with it.
    let streamed = text(gateway.stream("n").await).await;
    let whole = gateway.chat("n").await;
    assert_eq!((whole.header("x-cache"), whole.header("content-type")), ("HIT", "application/json"));
    assert_eq!(content(&whole), streamed);
    assert_eq!(whole.json()["usage"]["total_tokens"], 33, "{}", whole.text());
    let mut body = streamed_chat_body("n");
    assert!(!gateway.send(chat_request(&body)).await.text().contains("\"usage\""));
    body["stream_options"]["include_usage"] = true.into();
    let asked = gateway.send(chat_request(&body)).await;
    assert_eq!(asked.header("x-cache"), "HIT");
    assert!(asked.text().contains("\"total_tokens\":33"), "{}", asked.text());
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_hit_needs_no_upstream() {
    let upstream = changing().await;
    let document = kept(&upstream).replace("cache = true", "cache = true\nretry = { attempts = 1 }");
    let gateway = Gateway::start(document).await;
    let miss = gateway.chat("m").await;
    drop(upstream);
    let hit = gateway.chat("m").await;
    assert_eq!((hit.header("x-cache"), &hit.body), ("HIT", &miss.body));
    assert_eq!(gateway.chat("another").await.status, 502);
}

/// Whose answers are of a megabyte.
async fn wordy() -> Upstream {
    Upstream::start(|_| vec![reply::completion(&"word ".repeat(210_000))]).await
}

async fn kept_bytes(gateway: &Gateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("weir_cache_kept_bytes ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn answers_outlive_a_reload_and_a_smaller_cache_lets_go_of_some() {
    let upstream = wordy().await;
    let gateway = Gateway::start(kept(&upstream)).await;
    for model in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(gateway.chat(model).await.header("x-cache"), "MISS");
    }
    let bound = |bytes: &str| format!("{}\n[store]\ncache = \"{bytes}\"\n", kept(&upstream));
    for (reloads, size, most) in [(1.0, "64MiB", 64 * MIB), (2.0, "3MiB", 3 * MIB), (3.0, "0B", 0)] {
        fs::write(&gateway.file, bound(size)).unwrap();
        gateway
            .until_metrics("the reload", |metrics| {
                metrics.sum("weir_config_reloads_total", &["outcome=\"taken\""]) >= reloads
            })
            .await;
        let bytes = kept_bytes(&gateway).await;
        assert!(bytes <= most, "{size}: {bytes}");
        if most > 6 * MIB {
            assert!(bytes > 6 * MIB, "{size}: {bytes}");
            assert_eq!(gateway.chat("a").await.header("x-cache"), "HIT");
        }
    }
    let answer = gateway.chat("a").await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "MISS"), "with no room it serves on");
    assert_eq!(kept_bytes(&gateway).await, 0);
}
