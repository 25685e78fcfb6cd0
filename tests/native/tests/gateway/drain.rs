//! The end of the process: what was accepted is finished and settled, as far as the grace goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{
    Act, Flow, Gateway, Launch, SIMULATED, Signal, Upstream, chat_body, chat_request, reply,
};

const SOON: Duration = Duration::from_secs(8);

/// A stream that has begun and waits at a gate.
async fn gated() -> (Upstream, Gateway, Flow, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        let gate = Act::Gate(Arc::clone(&opened));
        vec![reply::stream_head(), reply::content("one"), gate, reply::content("two"), reply::farewell()]
    })
    .await;
    let gateway = Gateway::start(upstream.document("")).await;
    let mut flow = gateway.stream("m").await;
    assert!(flow.event().await.unwrap().contains("one"));
    (upstream, gateway, flow, gate)
}

async fn until_refused(gateway: &Gateway) {
    until("new connections are refused", async || holds(TcpStream::connect(gateway.address).await.is_err()))
        .await;
}

#[tokio::test]
async fn a_running_stream_is_finished_and_settled_before_the_end() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let (_upstream, mut gateway, mut flow, gate) = gated().await;
        gateway.signal(signal);
        until_refused(&gateway).await;
        assert_eq!(gateway.program.ended(), None, "{signal:?}: it waits for the stream");
        gate.add_permits(1);
        let rest = flow.events().await;
        assert!(rest[0].contains("two") && rest.last().unwrap() == "[DONE]", "{signal:?}: {rest:?}");
        drop(flow);
        let status = gateway.end(SOON).await;
        assert_eq!(status.code(), Some(0), "{signal:?}");
        let record = gateway.record().await;
        assert_eq!((&record["ending"], &record["output_tokens"]), (&"complete".into(), &22.into()));
    }
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let mut gateway = Gateway::start(SIMULATED).await;
    // An idle connection, as pooled clients keep them, is no work.
    assert_eq!(gateway.chat("sim").await.status, 200);
    let _silent = TcpStream::connect(gateway.address).await.unwrap();
    gateway.signal(Signal::Terminate);
    let status = gateway.end(SOON).await;
    assert_eq!(status.code(), Some(0));
    assert!(gateway.logs().iter().any(|line| line["message"] == "stopped" && line["finished"] == true));
}

/// Invariant 4: also what the grace was too short for is settled.
#[tokio::test]
async fn the_grace_bounds_the_wait_and_what_it_cuts_off_is_settled() {
    let mut gateway = Gateway::start(format!("{SIMULATED}\n[server]\ngrace = \"1s\"\n")).await;
    let mut flow = gateway.stream("sim-stall-2-pace-0ms").await;
    assert!(flow.event().await.is_some());
    let started = Instant::now();
    gateway.signal(Signal::Terminate);
    let status = gateway.end(SOON).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(status.code(), Some(0));
    let rest = flow.events().await;
    assert!(rest.last().unwrap().contains("shutting_down"), "{rest:?}");
    let records = gateway.records();
    assert_eq!(records.len(), 1, "{}", gateway.program.stderr.text());
    assert_eq!(records[0]["ending"], "going_away");
}

/// In each dialect, over each protocol, before the answer and in it.
#[tokio::test]
async fn whoever_is_cut_off_is_told_so() {
    let mut gateway = Gateway::start(format!("{SIMULATED}\n[server]\ngrace = \"1s\"\n")).await;
    let mut chat = chat_body("sim-stall-2-pace-0ms");
    let whole = chat_request(&chat_body("sim-latency-30s"));
    chat["stream"] = true.into();
    let mut over_http2 = chat_request(&chat);
    *over_http2.version_mut() = http::Version::HTTP_2;
    let responses = json!({"model": "sim-stall-2-pace-0ms", "input": "hi", "stream": true});
    let mut responses = chat_request(&responses);
    *responses.uri_mut() = http::Uri::from_static("/v1/responses");
    let mut flows = [gateway.flow(over_http2).await, gateway.flow(responses).await];
    for flow in &mut flows {
        assert!(flow.event().await.is_some());
    }
    let whole = async {
        let answer = gateway.send(whole).await;
        (answer.status, answer.json()["error"]["code"].clone())
    };
    let told = async {
        gateway.until_metrics("all three", |metrics| metrics.sum("weir_in_flight", &[]) > 2.5).await;
        gateway.signal(Signal::Terminate);
        let mut told = Vec::new();
        for flow in &mut flows {
            told.push(flow.events().await.pop().unwrap());
        }
        told
    };
    let (whole, told) = futures_util::future::join(whole, told).await;
    assert_eq!(whole, (503, "shutting_down".into()));
    assert!(told.iter().all(|event| event.contains("shutting_down")), "{told:?}");
    assert_eq!(gateway.end(SOON).await.code(), Some(0));
    let records = gateway.records();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record["ending"] == "going_away"), "{records:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (_upstream, mut gateway, _flow, _gate) = gated().await;
    gateway.signal(Signal::Terminate);
    until("it has begun to stop", async || {
        holds(
            gateway
                .logs()
                .iter()
                .any(|line| line["message"].as_str().is_some_and(|m| m.starts_with("stopping"))),
        )
    })
    .await;
    gateway.signal(Signal::Terminate);
    // The grace is 30 s.
    let status = gateway.end(SOON).await;
    assert_eq!(status.code(), Some(0));
    assert!(gateway.logs().iter().any(|line| line["message"] == "stopped" && line["finished"] == false));
}

/// Whoever waits for the line may signal right behind it.
#[tokio::test]
async fn a_signal_right_behind_the_listening_line_is_heeded() {
    for _ in 0..5 {
        let mut gateway = Launch::of(SIMULATED).say_listening().await;
        gateway.signal(Signal::Terminate);
        assert_eq!(gateway.end(SOON).await.code(), Some(0));
    }
}

/// Invariant 4: the client has gone, the answer is still wanted, and then the process is to end.
#[tokio::test]
async fn an_answer_that_is_read_to_its_end_for_the_books_is_waited_for() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        let gate = Act::Gate(Arc::clone(&opened));
        vec![reply::stream_head(), reply::content("one"), gate, reply::content("two"), reply::farewell()]
    })
    .await;
    let document =
        upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\non_disconnect = \"finish\"");
    let mut gateway = Gateway::start(document).await;
    let mut flow = gateway.stream("m").await;
    assert!(flow.event().await.unwrap().contains("one"));
    drop(flow);
    gateway.signal(Signal::Terminate);
    until_refused(&gateway).await;
    gate.add_permits(1);
    assert_eq!(gateway.end(SOON).await.code(), Some(0));
    assert_eq!(gateway.record().await["output_tokens"], 22);
}
