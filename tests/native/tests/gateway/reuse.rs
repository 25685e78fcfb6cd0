//! Connections to upstreams are used again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use weir_native_tests::{Act, Gateway, Proxy, Upstream, reply};

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

/// The peer has reset it meanwhile, and that is only found when the next request is on it.
#[tokio::test]
async fn a_kept_connection_that_is_reset_by_its_next_request_fails_no_call_and_opens_no_breaker() {
    let carried = Mutex::new(BTreeMap::<usize, u32>::new());
    let upstream = Upstream::start(move |seen| {
        let mut carried = carried.lock().unwrap();
        let count = carried.entry(seen.connection).or_default();
        *count += 1;
        if *count == 11 { vec![Act::Reset] } else { answer(seen) }
    })
    .await;
    let gateway = Gateway::start(format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"{}\"\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n",
        upstream.base()
    ))
    .await;
    for number in 0..200 {
        let answer = gateway.chat("m").await;
        assert_eq!(answer.status, 200, "call {number}: {}", answer.text());
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("weir_upstream_stale_connections_total", &["upstream=\"up\""]) > 10.0);
    assert_eq!(gateway.get("/ready").await.json()["upstreams"]["up"]["breaker"], "closed");
    let records = gateway.until_records(200).await;
    assert!(records.iter().all(|record| record["attempts"].as_str().unwrap().starts_with("up:200:")));
}

/// Half a head is the answer's, and the request was heard.
#[tokio::test]
async fn a_kept_connection_that_breaks_within_an_answer_is_not_repeated() {
    let upstream = Upstream::start(|seen| match seen.json()["model"].as_str() {
        Some("half") => vec![Act::Send("HTTP/1.1 200 OK\r\ncontent-ty".into()), Act::Reset],
        _ => answer(seen),
    })
    .await;
    let document = upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\nretry = { attempts = 1 }");
    let gateway = Gateway::start(document).await;
    assert_eq!(gateway.chat("m").await.status, 200);
    assert_eq!(gateway.chat("half").await.status, 502);
    assert_eq!(upstream.seen().len(), 2);
}

/// A firewall that restarts forgets every connection, and tells nobody.
#[tokio::test]
async fn idle_connections_that_the_network_has_forgotten_cost_one_call() {
    const KEPT: usize = 4;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream =
        Upstream::start(move |_| vec![Act::Gate(Arc::clone(&held)), reply::completion("hi")]).await;
    let way = Proxy::start(upstream.address).await;
    let document = format!(
        "auth = \"open\"\nserver = {{ workers = 1 }}\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n\
         [upstream.up]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\ntimeout = {{ first_byte = \"1s\" }}\n\
         breaker = {{ consecutive = 100000, minimum = 100000 }}\n",
        way.address
    );
    let gateway = Gateway::start(document).await;
    let calls = join_all((0..KEPT).map(|_| gateway.chat("m")));
    let opening = async {
        upstream.until_seen(KEPT).await;
        gate.add_permits(1000);
    };
    let (answers, ()) = tokio::join!(calls, opening);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(upstream.connections(), KEPT);
    way.forget();
    let statuses = [gateway.chat("m").await.status, gateway.chat("m").await.status];
    assert_eq!(statuses, [504, 200]);
}
