//! Bounds of a request: its size, its depth, what it unpacks to.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::Either;
use http::Request;
use serde_json::json;
use weir_native_tests::{
    Answer, Gateway, Launch, Raw, SIMULATED, chat_body, chat_request, status, streamed, whole,
};

const CHAT: &str = "/v1/chat/completions";

async fn small() -> Gateway {
    Gateway::start(format!("{SIMULATED}\n[server]\nmax_body = \"64KiB\"\nkeep_alive = \"1s\"\n")).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A good call of about that many bytes.
fn call_of(bytes: usize) -> String {
    json!({"model": "sim", "messages": [{"role": "user", "content": "a".repeat(bytes)}]}).to_string()
}

async fn post(gateway: &Gateway, encoding: &str, body: Vec<u8>) -> Answer {
    let request = Request::post(CHAT).header("content-type", "application/json");
    gateway.send(request.header("content-encoding", encoding).body(whole(body)).unwrap()).await
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_declared_or_not() {
    let gateway = small().await;
    assert_eq!(post(&gateway, "identity", call_of(60 * 1024).into()).await.status, 200);
    let answer = post(&gateway, "identity", call_of(70 * 1024).into()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!("request_too_large")));
    let chunks = call_of(70 * 1024).into_bytes();
    let chunks: Vec<_> = chunks.chunks(8 * 1024).map(bytes::Bytes::copy_from_slice).collect();
    let request = Request::post(CHAT).header("content-type", "application/json");
    let answer = gateway.send(request.body(streamed(chunks.into_iter())).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!("request_too_large")));
    assert_eq!(gateway.get("/health").await.status, 200);
}

/// Who asks before it sends is spared the sending.
#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let gateway = small().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: 99999999\r\nexpect: 100-continue\r\n\r\n"
    ))
    .await;
    let answer = raw.to_end().await;
    assert_eq!(status(&answer), 413, "{answer}");
}

/// Many clients read nothing before they have sent everything.
#[tokio::test]
async fn a_client_that_sends_all_of_a_body_that_is_too_large_still_reads_why() {
    let gateway = small().await;
    for megabytes in [1, 8] {
        let body = call_of(megabytes << 20);
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        ))
        .await;
        raw.send(body).await;
        let answer = raw.to_end().await;
        assert_eq!(status(&answer), 413, "{megabytes} MiB: {answer}");
    }
}

#[tokio::test]
async fn a_packed_body_is_unpacked_within_the_bound() {
    // 64 MiB in 64 KiB.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 70_000);
    let gateway = small().await;
    assert_eq!(post(&gateway, "gzip", gzip(chat_body("sim").to_string().as_bytes())).await.status, 200);
    let before = gateway.program.resident();
    for _ in 0..5 {
        let answer = post(&gateway, "gzip", bomb.clone()).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (413, &json!("request_too_large")));
    }
    let grown = gateway.program.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    for (encoding, body, status) in [
        ("gzip", b"no gzip".to_vec(), 400),
        ("gzip", gzip(b"{}")[..10].to_vec(), 400),
        ("gzip, gzip", gzip(&gzip(b"{}")), 415),
        ("br", b"x".to_vec(), 400),
        ("compress", b"x".to_vec(), 415),
    ] {
        assert_eq!(post(&gateway, encoding, body).await.status, status, "{encoding}");
    }
}

#[tokio::test]
async fn a_body_that_makes_no_sense_is_refused_with_what_is_wrong() {
    let gateway = Gateway::start(SIMULATED).await;
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let deep = format!(r#"{{"model":"sim","messages":{}{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let open = "[".repeat(1_000_000);
    for (name, body, param) in [
        ("nothing", Vec::new(), None),
        ("no JSON", b"{canary".to_vec(), None),
        ("no object", b"[]".to_vec(), None),
        ("too deep", deep.into_bytes(), None),
        ("a million brackets", open.into_bytes(), None),
        ("not UTF-8", b"{\"model\":\"sim\xff\",\"messages\":[]}".to_vec(), None),
        ("UTF-16", "\u{feff}{\"model\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(), None),
        ("a million choices", format!(r#"{{"model":"sim","n":1000000,{messages}}}"#).into(), Some("n")),
        ("choices beyond u64", format!(r#"{{"model":"sim","n":1e30,{messages}}}"#).into(), Some("n")),
        ("no model", format!("{{{messages}}}").into(), Some("model")),
        ("an empty model", format!(r#"{{"model":"",{messages}}}"#).into(), Some("model")),
        ("a number as model", format!(r#"{{"model":7,{messages}}}"#).into(), Some("model")),
        ("two models", format!(r#"{{"model":"sim","model":"gpt",{messages}}}"#).into(), Some("model")),
        ("a line break in the model", format!(r#"{{"model":"a\r\nb",{messages}}}"#).into(), Some("model")),
        ("no messages", br#"{"model":"sim"}"#.to_vec(), Some("messages")),
        (
            "a word as stream",
            format!(r#"{{"model":"sim","stream":"yes",{messages}}}"#).into(),
            Some("stream"),
        ),
    ] {
        let answer = post(&gateway, "identity", body).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!(param)),
            "{name}"
        );
        assert!(!answer.text().contains("canary"), "{name}");
        assert_eq!(gateway.get("/health").await.status, 200, "after {name}");
    }
    assert!(gateway.records().is_empty(), "none was admitted");
}

/// Its thread is the only one, and would be at it for as long as the body takes.
#[tokio::test]
async fn a_large_body_is_read_beside_what_is_served() {
    let document = format!("server = {{ workers = 1 }}\n{SIMULATED}");
    // Longer than anything here takes.
    let launch = Launch::of(document).env("FAILPOINTS", "compute=sleep(5000)");
    let gateway = launch.start().await;
    let mut body = chat_body("sim");
    body["messages"][0]["content"] = "a".repeat(2 << 20).into();
    let large = gateway.send(chat_request(&body));
    let small = async {
        gateway.until_metrics("the large call", |metrics| metrics.sum("weir_in_flight", &[]) > 0.5).await;
        gateway.chat("sim").await.status
    };
    let (large, small) = (std::pin::pin!(large), std::pin::pin!(small));
    let first = match futures_util::future::select(large, small).await {
        Either::Left(_) => "the large one",
        Either::Right((status, large)) => {
            assert_eq!((status, large.await.status), (200, 200));
            "the small one"
        }
    };
    assert_eq!(first, "the small one");
}
