//! The echo, which proves what came through.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{Provider, Request};

#[tokio::test]
async fn a_request_is_told_back() {
    let provider = Provider::start().await.unwrap();
    let body = "x".repeat(300_000);
    let headers = "X-Seen: one\r\nx-seen: two\r\nauthorization: Bearer k\r\n";
    let request = Request { method: "PATCH", path: "/v1/any/thing?a=b&c", headers, body: &body };
    let seen = provider.exchange(&request).await.unwrap().json();
    assert_eq!(seen["object"], "sim.echo");
    assert_eq!(seen["method"], "PATCH");
    assert_eq!(seen["path"], "/v1/any/thing");
    assert_eq!(seen["query"], "a=b&c");
    assert_eq!(seen["content_type"], "application/json");
    assert_eq!(seen["body_bytes"], 300_000);
    assert_eq!(seen["body_sha256"], format!("{:x}", Sha256::digest(&body)));
    assert_eq!(seen["headers"]["x-seen"], "one, two");
    assert_eq!(seen["headers"]["authorization"], "Bearer k");
}

#[tokio::test]
async fn events_and_bytes_come_in_the_number_asked_for() {
    let provider = Provider::start().await.unwrap();
    let events = provider.fetch("/v1/any?sse=5").await.unwrap();
    assert_eq!(events.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(events.events().len(), 5);
    assert_eq!(events.events()[4], json!({"object": "sim.echo.event", "index": 4}));
    for length in [0, 1, 200_000] {
        let bytes = provider.fetch(&format!("/v1/any?bytes={length}")).await.unwrap();
        assert_eq!(bytes.header("content-type"), Some("application/octet-stream"));
        let expected: Vec<u8> = (0..=250).cycle().take(length).collect();
        assert!(bytes.complete && bytes.body == expected, "{length}");
    }
    let seen = provider.fetch("/v1/any?bytes=many").await.unwrap();
    assert_eq!((seen.status, &seen.json()["error"]["param"]), (400, &json!("bytes")));
}
