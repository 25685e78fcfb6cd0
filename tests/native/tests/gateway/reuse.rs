//! Connections to upstreams are used again.

use weir_native_tests::{Act, Gateway, Upstream, reply};

fn answer(seen: &weir_native_tests::Seen) -> Vec<Act> {
    match seen.json()["stream"].as_bool() {
        Some(true) => reply::stream("hi"),
        _ => vec![reply::completion("hi")],
    }
}

/// The client has one connection, so it stays with one worker, and that has a pool.
#[tokio::test]
async fn calls_one_after_another_share_a_connection_streams_included() {
    let upstream = Upstream::start(answer).await;
    let gateway = Gateway::start(upstream.document("")).await;
    for _ in 0..15 {
        assert_eq!(gateway.chat("m").await.status, 200);
        assert_eq!(gateway.stream("m").await.events().await.last().unwrap(), "[DONE]");
    }
    assert_eq!(upstream.seen().len(), 30);
    assert!(upstream.connections() <= 2, "{} connections for 30 calls", upstream.connections());
}

/// Upstreams close idle connections without a word; a call that meets one is sent again.
#[tokio::test]
async fn a_connection_that_the_upstream_has_closed_fails_no_call() {
    let upstream = Upstream::start(|seen| {
        let mut acts = answer(seen);
        acts.push(Act::Close);
        acts
    })
    .await;
    let gateway = Gateway::start(upstream.document("")).await;
    for _ in 0..10 {
        assert_eq!(gateway.chat("m").await.status, 200);
        assert_eq!(gateway.stream("m").await.events().await.last().unwrap(), "[DONE]");
    }
}

#[tokio::test]
async fn a_broken_stream_costs_its_connection_and_no_other() {
    let upstream = Upstream::start(|seen| match seen.json()["model"].as_str() {
        Some("broken") => vec![reply::stream_head(), reply::content("one"), Act::Close],
        _ => answer(seen),
    })
    .await;
    let gateway = Gateway::start(upstream.document("")).await;
    for _ in 0..3 {
        assert!(gateway.stream("broken").await.events().await.last().unwrap().contains("error"));
        assert_eq!(gateway.chat("m").await.status, 200);
        assert_eq!(gateway.chat("m").await.status, 200);
    }
}
