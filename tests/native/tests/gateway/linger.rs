//! Refusals reach clients that are still sending: what comes behind one is read and thrown away, within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use weir_native_tests::wait::{until, until_within, within};
use weir_native_tests::{Gateway, Outgoing, Raw, Signal, hash, status, streamed, whole};

/// More than sockets hold between two processes.
const LARGE: usize = 20 << 20;

/// A client that is silent behind its refusal is given 5 s.
const SOON: Duration = Duration::from_secs(9);

async fn locked() -> Gateway {
    Gateway::start(format!(
        "[server]\nmax_body = \"1MiB\"\n[upstream.simulated]\ndialect = \"simulated\"\n[[route]]\nmodel = \"*\"\n\
         to = [\"simulated\"]\n[key.me]\nhash = \"{}\"\nmodels = [\"*\"]\n",
        hash("right")
    ))
    .await
}

fn head(path: &str, key: &str, framing: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n"
    )
}

/// What is refused for what its head says.
fn refused_by_head() -> [(&'static str, &'static str, &'static str, u16); 3] {
    [
        ("a wrong key", "/v1/chat/completions", "wrong", 401),
        ("a path that is none", "/v1/no-such", "right", 404),
        ("a body that is too large", "/v1/chat/completions", "right", 413),
    ]
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_all_of_a_large_body_first() {
    let gateway = locked().await;
    for (name, path, key, expected) in refused_by_head() {
        for framing in [format!("content-length: {LARGE}"), "transfer-encoding: chunked".to_owned()] {
            let mut raw = Raw::connect(gateway.address).await;
            assert!(raw.send(head(path, key, &framing)).await);
            let chunk = vec![b' '; 1 << 16];
            for _ in 0..LARGE / chunk.len() {
                let is_chunked = framing.starts_with("transfer");
                let piece =
                    if is_chunked { [b"10000\r\n", &*chunk, b"\r\n"].concat() } else { chunk.clone() };
                assert!(raw.send(piece).await, "{name}, {framing}: the gateway stopped reading");
            }
            raw.send(if framing.starts_with("transfer") { "0\r\n\r\n" } else { "" }).await;
            let answer = raw.read_until("}}").await;
            assert_eq!(status(&answer), expected, "{name}, {framing}: {answer}");
        }
    }
    gateway.until_idle().await;
}

/// What was read to its end leaves the connection as good as it was.
#[tokio::test]
async fn a_client_that_sends_its_body_behind_the_refusal_may_use_the_connection_again() {
    let gateway = locked().await;
    for (name, path, key, expected) in &refused_by_head()[..2] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(head(path, key, "content-length: 1000")).await;
        let answer = raw.read_until("}}").await;
        assert_eq!(status(&answer), *expected, "{name}");
        assert!(raw.send([b' '; 1000]).await, "{name}");
        assert!(raw.send("GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await, "{name}");
        raw.read_until("\"ok\"").await;
    }
}

/// The way most SDKs send: a body, then a look at the answer.
#[tokio::test]
async fn an_http_client_is_told_of_a_wrong_key_behind_a_large_upload() {
    let gateway = locked().await;
    let request = |body: Outgoing, version| {
        let mut request = Request::post("/v1/chat/completions").body(body).unwrap();
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request.headers_mut().insert("authorization", "Bearer wrong".parse().unwrap());
        *request.version_mut() = version;
        request
    };
    let chunks = || (0..LARGE >> 16).map(|_| Bytes::from(vec![b' '; 1 << 16]));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for number in 0..4 {
            let whole = gateway.send(request(whole(vec![b' '; LARGE]), version)).await;
            let parts = gateway.send(request(streamed(chunks()), version)).await;
            for answer in [whole, parts] {
                assert_eq!(answer.status, 401, "{number} on {version:?}");
                assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
            }
        }
    }
    gateway.until_idle().await;
}

/// Who asks before it sends is told no, and not asked to send.
#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_is_refused_without_one() {
    let gateway = locked().await;
    for (name, path, key, expected) in refused_by_head() {
        let mut raw = Raw::connect(gateway.address).await;
        let framing = format!("content-length: {LARGE}\r\nexpect: 100-continue");
        raw.send(head(path, key, &framing)).await;
        let answer = raw.to_end().await;
        assert_eq!(status(&answer), expected, "{name}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{name}: {answer}");
        assert!(!answer.contains("100 Continue"), "{name}: {answer}");
    }
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(head("/v1/chat/completions", "right", "content-length: 2\r\nexpect: 100-continue")).await;
    raw.read_until("100 Continue").await;
    raw.send("{}").await;
    let answer = raw.read_until("}}").await;
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_falls_silent_behind_its_refusal_is_closed() {
    let gateway = locked().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(head("/v1/chat/completions", "wrong", "content-length: 1000")).await;
    raw.read_until("}}").await;
    // It holds nothing of the gateway's meanwhile.
    gateway.until_idle().await;
    raw.to_end_within(SOON).await;
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_closed_at_a_bound() {
    let gateway = locked().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(head("/v1/chat/completions", "wrong", "content-length: 99999999999")).await;
    let chunk = vec![b' '; 1 << 20];
    let sending = async {
        let mut megabytes = 0;
        while raw.send(&chunk).await {
            megabytes += 1;
        }
        megabytes
    };
    let megabytes = within(Duration::from_secs(40), "the end of the reading", sending).await;
    assert!((500..600).contains(&megabytes), "{megabytes} MiB were taken");
}

#[tokio::test]
async fn a_gateway_that_stops_does_not_wait_for_those_it_has_refused() {
    let mut gateway = locked().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(head("/v1/chat/completions", "wrong", "content-length: 1000")).await;
    raw.read_until("}}").await;
    gateway.signal(Signal::Terminate);
    let ended = until_within(Duration::from_secs(4), "its end", async || gateway.program.ended()).await;
    assert!(ended.success(), "{ended}");
    until("the connection's end", async || (!raw.send(" ").await).then_some(())).await;
}
