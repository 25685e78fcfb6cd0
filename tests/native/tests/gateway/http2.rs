//! Connections to upstreams of HTTP/2: how many, how old, and what it means when one fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Act, Gateway, Launch, Upstream, reply};

use crate::http2_upstream::{Http2, Turn};

/// A gateway with one worker, so that it has one pool.
async fn gateway(upstream: &Http2, more: &str) -> Gateway {
    let document = format!(
        "auth = \"open\"\nserver = {{ workers = 1 }}\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\n\
         [upstream.up]\ndialect = \"openai\"\nbase_url = \"https://{}/v1\"\n{more}\n",
        upstream.address
    );
    Launch::of(document).env("SSL_CERT_FILE", upstream.authority.to_str().unwrap()).start().await
}

async fn until_called(upstream: &Http2, calls: usize) {
    until(&format!("{calls} calls"), async || holds(upstream.counts.calls() >= calls)).await;
}

async fn breaker(gateway: &Gateway) -> String {
    let ready = gateway.get("/ready").await.json();
    format!("{} {}", ready["upstreams"]["up"]["breaker"], ready["upstreams"]["up"]["models"])
}

#[tokio::test]
async fn more_calls_than_a_connection_takes_are_carried_by_another() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Http2::start(8, move |_| Turn::Gate(Arc::clone(&opened))).await;
    let gateway = gateway(&upstream, "").await;
    let calls = join_all((0..24).map(|_| gateway.chat("m")));
    let all_are_there = async {
        until_called(&upstream, 24).await;
        gate.add_permits(24);
    };
    let (answers, ()) = tokio::join!(calls, all_are_there);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(upstream.counts.connections(), 3);
}

#[tokio::test]
async fn beyond_all_connections_calls_wait_here_and_are_counted_here() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Http2::start(8, move |_| Turn::Gate(Arc::clone(&opened))).await;
    let gateway = gateway(&upstream, "http2_connections = 1\ntimeout = { connect = \"60s\" }").await;
    let calls = join_all((0..12).map(|_| gateway.chat("m")));
    let some_wait = async {
        until_called(&upstream, 8).await;
        gateway
            .until_metrics("four wait", |m| m.sum("weir_upstream_queued", &["upstream=\"up\""]) > 3.5)
            .await;
        assert_eq!(upstream.counts.calls(), 8);
        gate.add_permits(12);
    };
    let (answers, ()) = tokio::join!(calls, some_wait);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(upstream.counts.connections(), 1);
    let metrics = gateway.metrics().await;
    let waited = metrics.sum("weir_upstream_queue_wait_seconds_count", &["upstream=\"up\""]);
    assert!((3.5..4.5).contains(&waited), "{waited}");
    assert!(metrics.sum("weir_upstream_queued", &[]).abs() < 0.5);
}

#[tokio::test]
async fn who_waits_too_long_for_room_is_told_so_and_the_upstream_is_not_blamed() {
    let upstream = Http2::start(2, |_| Turn::Silence).await;
    let bounds = "http2_connections = 1\ntimeout = { connect = \"400ms\", first_byte = \"5s\" }";
    let gateway = gateway(&upstream, bounds).await;
    let (two, others) = tokio::join!(join_all((0..2).map(|_| gateway.chat("m"))), async {
        until_called(&upstream, 2).await;
        join_all((0..12).map(|_| gateway.chat("m"))).await
    });
    for answer in &others {
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.status, code), (503, &"upstream_connections_busy".into()));
    }
    assert!(two.iter().all(|answer| answer.status == 504));
    assert_eq!(breaker(&gateway).await, "\"closed\" null");
    let unsent = gateway.metrics().await.sum("weir_upstream_unsent_total", &["want=\"connections\""]);
    assert!((11.5..12.5).contains(&unsent), "{unsent}");
}

#[tokio::test]
async fn a_connection_on_which_a_call_timed_out_takes_no_new_one() {
    let upstream = Http2::start(100, |_| Turn::Answer).await;
    let gateway = gateway(&upstream, "timeout = { first_byte = \"1s\" }").await;
    assert_eq!(gateway.chat("m").await.status, 200);
    upstream.fall_silent();
    assert_eq!(gateway.chat("m").await.status, 504);
    for _ in 0..5 {
        assert_eq!(gateway.chat("m").await.status, 200);
    }
    assert_eq!(upstream.counts.connections(), 2);
}

/// Its calls have all the time they want: it is the connection that is asked.
#[tokio::test]
async fn a_silently_dead_connection_is_found_while_calls_wait() {
    let upstream = Http2::start(100, |_| Turn::Answer).await;
    let gateway = gateway(&upstream, "").await;
    assert_eq!(gateway.chat("m").await.status, 200);
    upstream.fall_silent();
    let begun = Instant::now();
    assert_eq!(gateway.chat("m").await.status, 200, "it goes out again on another");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(upstream.counts.connections(), 2);
}

#[tokio::test]
async fn one_cut_connection_is_one_failure_however_many_calls_it_carried() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Http2::start(100, move |call| match call {
        0..8 => Turn::Stream(Arc::clone(&opened)),
        8..16 => Turn::Silence,
        _ => Turn::Answer,
    })
    .await;
    let gateway = gateway(&upstream, "").await;
    let mut flows = join_all((0..8).map(|_| gateway.stream("m"))).await;
    for flow in &mut flows {
        assert!(flow.event().await.unwrap().contains("one"));
    }
    let waiting = join_all((0..8).map(|_| gateway.chat("m")));
    let cut = async {
        until_called(&upstream, 16).await;
        upstream.cut();
    };
    let (answers, ()) = tokio::join!(waiting, cut);
    for mut flow in flows {
        assert!(flow.events().await.last().unwrap().contains("error"));
    }
    assert!(answers.iter().all(|answer| answer.status == 200), "they are tried again");
    assert_eq!(breaker(&gateway).await, "\"closed\" null");
    assert_eq!(gateway.chat("m").await.status, 200);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_for_free() {
    let upstream = Http2::start(100, |call| if call % 3 < 2 { Turn::Refuse } else { Turn::Answer }).await;
    let gateway = gateway(&upstream, "").await;
    for _ in 0..20 {
        assert_eq!(gateway.chat("m").await.status, 200);
    }
    assert_eq!(upstream.counts.calls(), 60);
    let metrics = gateway.metrics().await;
    assert!((metrics.sum("weir_upstream_unprocessed_total", &[]) - 40.0).abs() < 0.5);
    assert!(metrics.sum("weir_retries_total", &[]).abs() < 0.5);
    assert_eq!(breaker(&gateway).await, "\"closed\" null");
    let records = gateway.until_records(20).await;
    assert!(records.iter().all(|record| record["attempts"].as_str().unwrap().starts_with("up:200:")));
}

#[tokio::test]
async fn a_call_above_the_last_of_a_goaway_is_sent_again_for_free() {
    let upstream = Http2::going_away().await;
    let gateway = gateway(&upstream, "").await;
    assert_eq!(gateway.chat("m").await.status, 200);
    assert_eq!((upstream.counts.connections(), upstream.counts.calls()), (2, 2));
    let metrics = gateway.metrics().await;
    assert!((metrics.sum("weir_upstream_unprocessed_total", &[]) - 1.0).abs() < 0.5);
    assert!(metrics.sum("weir_retries_total", &[]).abs() < 0.5);
}

#[tokio::test]
async fn a_connection_of_age_ends_with_what_it_carries_and_takes_nothing_new() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Http2::start(100, move |call| match call {
        0 => Turn::Stream(Arc::clone(&opened)),
        _ => Turn::Answer,
    })
    .await;
    let gateway = gateway(&upstream, "connection_age = \"1s\"").await;
    let mut long = gateway.stream("m").await;
    assert!(long.event().await.unwrap().contains("one"));
    until("a third connection", async || {
        assert_eq!(gateway.chat("m").await.status, 200);
        holds(upstream.counts.connections() >= 3)
    })
    .await;
    gate.add_permits(1);
    assert_eq!(long.events().await.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn http1_connections_have_an_age_as_well() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let document = upstream.document("connection_age = \"1s\"");
    let gateway = Gateway::start(format!("server = {{ workers = 1 }}\n{document}")).await;
    until("a third connection", async || {
        assert_eq!(gateway.chat("m").await.status, 200);
        holds(upstream.connections() >= 3)
    })
    .await;
    assert!(upstream.seen().len() > 3 * upstream.connections(), "each was used again");
}

/// A peer that takes connections and says nothing.
#[tokio::test]
async fn the_time_to_connect_bounds_tls_as_well_and_the_cause_is_told() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let document = format!(
        "auth = \"open\"\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n\
         [upstream.up]\ndialect = \"openai\"\nbase_url = \"https://{}/v1\"\ntimeout = {{ connect = \"500ms\" }}\n",
        listener.local_addr().unwrap()
    );
    let gateway = Gateway::start(document).await;
    let begun = Instant::now();
    let answer = gateway.explained_chat("m").await;
    assert_eq!(answer.status, 502);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(
        answer.header("x-weir-explain").contains("timed out at TLS"),
        "{}",
        answer.header("x-weir-explain")
    );
    assert_eq!(gateway.record().await["cause"], "up: timed out at TLS");
}

#[tokio::test]
async fn a_proxy_of_http1_that_restarts_under_eight_calls_opens_nothing() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |seen| match seen.json()["model"].as_str() {
        Some("held") => vec![Act::Gate(Arc::clone(&opened)), Act::Reset],
        _ => vec![reply::completion("hi")],
    })
    .await;
    let document = format!(
        "auth = \"open\"\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n\
         [upstream.up]\ndialect = \"openai\"\nbase_url = \"{}\"\n",
        upstream.base()
    );
    let gateway = Gateway::start(document).await;
    let calls = join_all((0..8).map(|_| gateway.chat("held")));
    let cut = async {
        upstream.until_seen(8).await;
        gate.add_permits(8);
    };
    let (answers, ()) = tokio::join!(calls, cut);
    assert!(answers.iter().all(|answer| answer.status == 502));
    assert_eq!(breaker(&gateway).await, "\"closed\" null");
}
