//! Which upstream a call goes to, and what happens when that one fails.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Request;
use serde_json::json;
use weir_native_tests::{Act, Gateway, SIMULATED, Upstream, chat_body, hash, reply, whole};

/// Two upstreams behind one route whose other lines are `route`.
fn document(route: &str, a: &Upstream, b: &Upstream) -> String {
    format!(
        "auth = \"open\"\n[[route]]\nmodel = \"*\"\n{route}\n\
         [upstream.a]\ndialect = \"openai\"\nbase_url = \"{}\"\n\
         [upstream.b]\ndialect = \"openai\"\nbase_url = \"{}\"\n",
        a.base(),
        b.base()
    )
}

async fn good() -> Upstream {
    Upstream::start(|seen| match seen.json()["stream"].as_bool() {
        Some(true) => reply::stream("from b"),
        _ => vec![reply::completion("from b")],
    })
    .await
}

async fn always(act: Act) -> Upstream {
    Upstream::start(move |_| vec![act.clone()]).await
}

#[tokio::test]
async fn a_failure_falls_back_and_the_explanation_says_how() {
    let a = always(reply::error("503 Busy", "overloaded")).await;
    let b = good().await;
    let gateway = Gateway::start(document("to = [\"a\"]\nfallback = [\"b\"]", &a, &b)).await;
    let answer = gateway.explained_chat("m").await;
    assert_eq!(answer.status, 200);
    let attempts = answer.explanation()["attempts"].take();
    assert_eq!((&attempts[0]["upstream"], &attempts[0]["status"]), (&json!("a"), &json!(503)), "{attempts}");
    let last = attempts.as_array().unwrap().last().unwrap();
    assert_eq!((&last["upstream"], &last["status"]), (&json!("b"), &json!(200)), "{attempts}");
    assert_eq!(gateway.record().await["fallbacks"], 1);
    assert!(gateway.metrics().await.sum("weir_fallbacks_total", &["upstream=\"b\""]) > 0.5);
}

/// Invariant 11: until its first content a stream fails over unseen, and nothing of it is left.
#[tokio::test]
async fn a_stream_that_breaks_before_its_first_word_falls_back_unseen() {
    let preamble =
        "data: {\"id\":\"from a\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    let ends: [Vec<Act>; 3] = [
        vec![Act::Reset],
        vec![Act::Send(reply::chunk(preamble)), Act::Close],
        vec![
            Act::Send(reply::chunk(preamble)),
            Act::Send(reply::chunk("data: {\"error\":{\"message\":\"x\"}}\n\n")),
        ],
    ];
    for end in ends {
        let a = Upstream::start(move |_| [vec![reply::stream_head()], end.clone()].concat()).await;
        let b = good().await;
        let gateway = Gateway::start(document("to = [\"a\"]\nfallback = [\"b\"]", &a, &b)).await;
        let events = gateway.stream("m").await.events().await;
        assert!(events[0].contains("from b") && events.last().unwrap() == "[DONE]", "{events:?}");
        assert!(!events.concat().contains("from a"), "{events:?}");
    }
}

#[tokio::test]
async fn the_callers_own_fault_is_never_tried_elsewhere() {
    for status in ["400 Bad Request", "404 Not Found", "413 Too Large", "422 Unprocessable"] {
        let a = always(reply::error(status, "your own fault")).await;
        let b = good().await;
        let gateway = Gateway::start(document("to = [\"a\"]\nfallback = [\"b\"]", &a, &b)).await;
        let answer = gateway.chat("m").await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.json()["error"]["message"], "your own fault");
        assert_eq!((a.seen().len(), b.seen().len()), (1, 0), "{status}");
        assert_eq!(gateway.record().await["ending"], "rejected");
    }
}

#[tokio::test]
async fn only_the_conditions_that_are_named_lead_on() {
    let a = always(reply::error("503 Busy", "overloaded")).await;
    let b = good().await;
    let route = "to = [\"a\"]\nfallback = [\"b\"]\nfallback_on = [\"connect\"]";
    let gateway = Gateway::start(document(route, &a, &b)).await;
    assert_eq!(gateway.chat("m").await.status, 502);
    assert!(b.seen().is_empty());
}

#[tokio::test]
async fn a_call_that_fails_at_first_is_tried_again() {
    let gateway = Gateway::start(SIMULATED).await;
    let answer = gateway.chat("sim-flaky-2").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = gateway.record().await;
    assert_eq!(record["attempts"].as_str().unwrap().split(' ').count(), 3, "{record}");
    assert!(gateway.metrics().await.sum("weir_retries_total", &["upstream=\"simulated\""]) > 1.5);
    let streamed = gateway.stream("sim-flaky-2-pace-0ms").await.events().await;
    assert_eq!(streamed.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn an_upstream_that_says_when_to_come_back_is_heeded() {
    let calls = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) > 0 {
            return vec![reply::completion("hi")];
        }
        let head = "HTTP/1.1 429 Slow down\r\nretry-after-ms: 400\r\nretry-after: 1\r\n";
        vec![Act::Send(format!("{head}content-length: 2\r\n\r\n{{}}").into())]
    })
    .await;
    let gateway = Gateway::start(upstream.document("")).await;
    let started = Instant::now();
    assert_eq!(gateway.chat("m").await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_limit_that_stays_is_told_to_the_caller() {
    let gateway = Gateway::start(SIMULATED).await;
    let answer = gateway.chat("sim-status-429-retry-after-30s").await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (429, &json!("rate_limit_exceeded")), "{error}");
    assert_eq!((answer.header("retry-after"), answer.header("retry-after-ms")), ("30", "30000"));
}

/// Invariant 3.
#[tokio::test]
async fn retries_are_bounded_by_their_budget() {
    let upstream = always(reply::error("503 Busy", "overloaded")).await;
    let gateway = Gateway::start(upstream.document("")).await;
    let started = Instant::now();
    let answers = join_all((0..200).map(|_| gateway.chat("m"))).await;
    assert!(answers.iter().all(|answer| answer.status == 502));
    let floor = 10 * (usize::try_from(started.elapsed().as_secs()).unwrap() + 2);
    let attempts = upstream.seen().len();
    assert!(attempts <= 240 + floor, "{attempts} attempts for 200 calls");
    assert!(attempts > 200, "none was tried again");
}

#[tokio::test]
async fn the_upstreams_own_name_of_a_model_is_put_in_and_nothing_else_is_touched() {
    let a = good().await;
    let b = good().await;
    let route = "to = [{ upstream = \"a\", model = \"Qwen/Qwen2.5-7B\" }]";
    let document = document(route, &a, &b) + "[alias]\n\"gpt-5\" = \"gpt-4o\"\n";
    let gateway = Gateway::start(document).await;
    let body = "{ \"messages\":[ {\"role\":\"user\",\"content\":\"\\\"model\\\":\\\"gpt-5\\\" \\u00e9\"} ],\n \"model\" : \"gpt-5\",\"temperature\":0.10, \"x_unknown\":1e2 }";
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    assert_eq!(gateway.send(request.body(whole(body)).unwrap()).await.status, 200);
    let sent = String::from_utf8(a.seen()[0].body.clone()).unwrap();
    assert_eq!(sent, body.replace("\"model\" : \"gpt-5\"", "\"model\" : \"Qwen/Qwen2.5-7B\""));
    let explanation = gateway.explained_chat("gpt-5").await.explanation();
    assert_eq!((&explanation["alias"], &explanation["route"]), (&json!("gpt-4o"), &json!("*")));
    let azure = gateway
        .post("/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21", &chat_body("x"))
        .await;
    assert_eq!(azure.status, 200, "{}", azure.text());
    assert_eq!(a.seen().last().unwrap().json()["model"], "Qwen/Qwen2.5-7B");
    assert_eq!(a.seen().last().unwrap().target, "/v1/chat/completions");
}

#[tokio::test]
async fn weights_share_the_calls_out() {
    let (a, b) = (good().await, good().await);
    let route = "to = [{ upstream = \"a\", weight = 10 }, { upstream = \"b\", weight = 90 }]";
    let gateway = Gateway::start(document(route, &a, &b)).await;
    for _ in 0..20 {
        let answers = join_all((0..20).map(|_| gateway.chat("m"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
    let (few, many) = (a.seen().len(), b.seen().len());
    assert_eq!(few + many, 400);
    // 40 are expected, with a deviation of 6.
    assert!((12..=75).contains(&few), "{few} of 400 calls");
}

#[tokio::test]
async fn a_sticky_caller_stays_where_it_was_first_sent() {
    let (a, b) = (good().await, good().await);
    let route = "to = [\"a\", \"b\"]\nsticky = \"caller\"";
    let keys: Vec<String> = (0..16).map(|number| format!("sk-weir-sticky-{number}")).collect();
    let mut document = document(route, &a, &b).replace("\"open\"", "\"keys\"");
    for (number, key) in keys.iter().enumerate() {
        writeln!(document, "[key.team-{number}]\nhash = \"{}\"", hash(key)).unwrap();
    }
    let gateway = Gateway::start(document).await;
    let mut places = Vec::new();
    for key in &keys {
        let before = a.seen().len();
        for _ in 0..5 {
            let request = Request::post("/v1/chat/completions")
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {key}"));
            let answer = gateway.send(request.body(whole(chat_body("m").to_string())).unwrap()).await;
            assert_eq!(answer.status, 200);
        }
        places.push(a.seen().len() - before);
    }
    assert!(places.iter().all(|calls| [0, 5].contains(calls)), "a caller was moved: {places:?}");
    assert!(places.contains(&0) && places.contains(&5), "all callers went to one place: {places:?}");
}

#[tokio::test]
async fn each_wait_for_an_upstream_is_bounded() {
    for (timeout, silent) in [
        ("first_byte = \"200ms\"", vec![Act::UntilGone]),
        ("connect = \"400ms\", first_byte = \"400ms\", total = \"400ms\"", vec![Act::UntilGone]),
        ("idle = \"200ms\"", vec![reply::stream_head(), Act::UntilGone]),
    ] {
        let upstream = Upstream::start(move |_| silent.clone()).await;
        let gateway = Gateway::start(upstream.document(&format!("timeout = {{ {timeout} }}"))).await;
        let started = Instant::now();
        let flow = gateway.stream("m").await;
        assert_eq!(flow.status, 504, "{timeout}");
        assert!(started.elapsed() < Duration::from_secs(3), "{timeout}: {:?}", started.elapsed());
        assert_eq!(gateway.record().await["ending"], "failed", "{timeout}");
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn an_upstream_that_falls_silent_in_the_middle_ends_in_an_error() {
    let acts = || vec![reply::stream_head(), reply::content("one"), Act::UntilGone];
    let upstream = Upstream::start(move |_| acts()).await;
    let total = "connect = \"400ms\", first_byte = \"400ms\", total = \"400ms\"";
    for (timeout, ending) in [("idle = \"400ms\"", "stalled"), (total, "deadline_passed")] {
        let gateway = Gateway::start(upstream.document(&format!("timeout = {{ {timeout} }}"))).await;
        let events = gateway.stream("m").await.events().await;
        assert!(events.len() == 2 && events[1].contains("timeout_error"), "{timeout}: {events:?}");
        assert_eq!(gateway.record().await["ending"], ending);
    }
}
