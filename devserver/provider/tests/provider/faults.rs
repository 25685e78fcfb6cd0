//! Faults, told apart on the socket: a clean end is a FIN, a reset is an RST.

use std::io::ErrorKind;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::client::{End, Exchange, Provider, Request};

const APIS: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/responses"];

fn asked(model: &str, stream: bool) -> Value {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": "hello there"}],
        "prompt": "hello there",
        "input": "hello there",
        "stream": stream,
    })
}

/// Content tokens of a stream of any API.
fn tokens(exchange: &Exchange) -> usize {
    let content = |event: &Value| match event["type"].as_str() {
        Some("response.output_text.delta") => true,
        Some(_) => false,
        None => {
            let choice = &event["choices"][0];
            let text = choice["delta"]["content"].as_str().or(choice["text"].as_str());
            text.is_some_and(|text| !text.is_empty())
        }
    };
    exchange.events().iter().filter(|event| content(event)).count()
}

fn terminated(exchange: &Exchange) -> bool {
    let text = exchange.text();
    text.contains("[DONE]") || text.contains("event: response.completed")
}

#[tokio::test]
async fn a_healthy_stream_ends_with_its_terminator() {
    let provider = Provider::start().await.unwrap();
    for api in APIS {
        let seen = provider.post(api, &asked("sim-tokens-7-pace-1ms", true)).await.unwrap();
        assert_eq!((seen.status, seen.end, tokens(&seen)), (200, End::Fin, 7), "{api}");
        assert!(seen.complete && terminated(&seen), "{api}: {}", seen.text());
    }
}

#[tokio::test]
async fn a_cut_stream_ends_cleanly_without_a_terminator() {
    let provider = Provider::start().await.unwrap();
    for api in APIS {
        for (model, count) in [("sim-pace-0ms-cut-3", 3), ("sim-pace-1ms-cut-3", 3), ("sim-cut-0", 0)] {
            let seen = provider.post(api, &asked(model, true)).await.unwrap();
            assert_eq!((seen.status, seen.end, tokens(&seen)), (200, End::Fin, count), "{api} {model}");
            assert!(seen.complete && !terminated(&seen), "{api} {model}");
        }
    }
}

#[tokio::test]
async fn a_reset_stream_ends_with_an_rst_after_all_its_tokens() {
    let provider = Provider::start().await.unwrap();
    for api in APIS {
        for (model, count) in [("sim-pace-0ms-reset-3", 3), ("sim-pace-1ms-reset-3", 3), ("sim-reset-0", 0)] {
            let seen = provider.post(api, &asked(model, true)).await.unwrap();
            assert_eq!((seen.status, seen.end, tokens(&seen)), (200, End::Reset, count), "{api} {model}");
            assert!(!seen.complete, "{api} {model}");
        }
    }
}

#[tokio::test]
async fn a_refused_call_gets_an_rst_and_no_byte() {
    let provider = Provider::start().await.unwrap();
    for stream in [true, false] {
        let seen = provider.chat(&asked("sim-refuse", stream)).await.unwrap();
        assert_eq!((seen.head.as_str(), seen.end), ("", End::Reset));
    }
}

#[tokio::test]
async fn a_whole_answer_is_cut_or_reset_short_of_its_declared_length() {
    let provider = Provider::start().await.unwrap();
    let table = [
        ("sim-cut-5", End::Fin, true),
        ("sim-cut-0", End::Fin, false),
        ("sim-reset-5", End::Reset, true),
        ("sim-reset-0", End::Reset, false),
    ];
    for api in APIS.into_iter().chain(["/v1/embeddings"]) {
        for (model, end, begun) in table {
            let seen = provider.post(api, &asked(model, false)).await.unwrap();
            assert_eq!((seen.status, seen.end, !seen.body.is_empty()), (200, end, begun), "{api} {model}");
            assert!(!seen.complete && seen.header("content-length").is_some(), "{api} {model}");
        }
    }
}

#[tokio::test]
async fn a_stalled_stream_keeps_its_connection_open() {
    let provider = Provider::start().await.unwrap();
    let body = asked("sim-pace-0ms-stall-5", true).to_string();
    let request = Request { method: "POST", path: "/v1/chat/completions", headers: "", body: &body };
    let mut stalled = provider.send(&request).await.unwrap();
    let mut seen = Vec::new();
    // The role chunk and five tokens.
    while String::from_utf8_lossy(&seen).matches("data: ").count() < 6 {
        assert_ne!(stalled.read_buf(&mut seen).await.unwrap(), 0);
    }
    let other = provider.chat(&asked("sim", true)).await.unwrap();
    assert!(terminated(&other));
    // A whole other stream later there is nothing more: no token, no end, no reset.
    let end = loop {
        match stalled.try_read_buf(&mut seen) {
            Ok(count) => assert_ne!(count, 0),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(end, ErrorKind::WouldBlock);
    assert_eq!(String::from_utf8_lossy(&seen).matches("data: ").count(), 6);
}

#[tokio::test]
async fn a_malformed_frame_does_not_end_the_stream() {
    let provider = Provider::start().await.unwrap();
    for api in APIS {
        let seen = provider.post(api, &asked("sim-pace-0ms-malformed-2-tokens-6", true)).await.unwrap();
        let bad = |data: &String| data != "[DONE]" && serde_json::from_str::<Value>(data).is_err();
        assert_eq!(seen.data().iter().filter(|data| bad(data)).count(), 1, "{api}");
        assert!(tokens(&seen) == 6 && terminated(&seen), "{api}");
    }
    let whole = provider.chat(&asked("sim-malformed-2", false)).await.unwrap();
    assert!(whole.status == 200 && whole.complete && whole.json().is_null());
}

#[tokio::test]
async fn an_error_midway_is_the_last_event() {
    let provider = Provider::start().await.unwrap();
    for api in APIS {
        let seen = provider.post(api, &asked("sim-pace-0ms-midway-error-2", true)).await.unwrap();
        let events = seen.events();
        let last = events.last().unwrap();
        assert_eq!((tokens(&seen), terminated(&seen), seen.complete), (2, false, true), "{api}");
        if api == "/v1/responses" {
            assert_eq!(last["type"], "error");
            assert_eq!(last["sequence_number"], events.len() - 1);
        } else {
            assert_eq!(last["error"]["type"], "server_error");
        }
    }
    let whole = provider.chat(&asked("sim-midway-error-2", false)).await.unwrap();
    assert_eq!((whole.status, whole.json()["error"]["type"].as_str()), (500, Some("server_error")));
}

#[tokio::test]
async fn a_scripted_status_has_an_openai_error_and_says_when_to_return() {
    let provider = Provider::start().await.unwrap();
    let seen = provider.chat(&asked("sim-status-429-retry-after-1200ms", true)).await.unwrap();
    assert_eq!(seen.status, 429);
    assert_eq!((seen.header("retry-after"), seen.header("retry-after-ms")), (Some("2"), Some("1200")));
    assert_eq!(seen.json()["error"]["code"], "rate_limit_exceeded");
    for code in [400, 404, 418, 500, 503, 504, 529] {
        let seen = provider.chat(&asked(&format!("sim-status-{code}"), false)).await.unwrap();
        assert_eq!(seen.status, code);
        let error = seen.json()["error"].clone();
        for key in ["message", "type", "param", "code"] {
            assert!(error.get(key).is_some(), "{code} {key}");
        }
    }
}

#[tokio::test]
async fn an_error_or_a_page_comes_with_status_200() {
    let provider = Provider::start().await.unwrap();
    let whole = provider.chat(&asked("sim-error-body", false)).await.unwrap();
    assert_eq!(whole.status, 200);
    assert!(whole.json()["error"]["message"].is_string());
    let stream = provider.chat(&asked("sim-error-body", true)).await.unwrap();
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(stream.data().len(), 1);
    assert!(stream.events()[0]["error"]["message"].is_string());
    let page = provider.chat(&asked("sim-html", true)).await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let page = provider.chat(&asked("sim-html-status-502", true)).await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (502, Some("text/html; charset=utf-8")));
}

#[tokio::test]
async fn a_flaky_model_fails_twice_then_answers_then_fails_again() {
    let provider = Provider::start().await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(provider.chat(&asked("sim-flaky-2", false)).await.unwrap().status);
    }
    assert_eq!(statuses, [503, 503, 200, 503]);
}

#[tokio::test]
async fn parts_of_an_answer_can_be_withheld() {
    let provider = Provider::start().await.unwrap();
    let seen = provider.chat(&asked("sim-no-done-pace-0ms", true)).await.unwrap();
    assert!(seen.text().contains("\"finish_reason\":\"stop\"") && !terminated(&seen));
    let mut body = asked("sim-no-usage-pace-0ms", true);
    body["stream_options"] = json!({"include_usage": true});
    for api in APIS {
        let seen = provider.post(api, &body).await.unwrap();
        assert!(!seen.text().contains("_tokens\":{") && terminated(&seen), "{api}");
    }
}

#[tokio::test]
async fn a_latency_passes_before_the_head() {
    let provider = Provider::start().await.unwrap();
    let begun = std::time::Instant::now();
    let seen = provider.chat(&asked("sim-latency-60ms", false)).await.unwrap();
    assert!(begun.elapsed().as_millis() >= 60);
    let told: u64 = seen.header("openai-processing-ms").unwrap().parse().unwrap();
    assert!(told >= 60, "{told}");
}
