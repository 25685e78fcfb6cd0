//! Answers beyond their time, where there is nothing better or nothing newer yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use weir_native_tests::wait::until;
use weir_native_tests::{Act, Answer, Extra, Flow, Gateway, Upstream, reply};

fn kept(upstream: &Upstream, policy: &str) -> String {
    upstream.document_with(&Extra {
        route: &format!("cache = {{ ttl = \"1s\", {policy} }}\nretry = {{ attempts = 1 }}"),
        ..Extra::default()
    })
}

/// Its first answer, and behind a gate all others.
async fn changing() -> (Upstream, Arc<Semaphore>) {
    let (gate, count) = (Arc::new(Semaphore::new(0)), AtomicUsize::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec![reply::completion("answer 0")],
        later => vec![Act::Gate(Arc::clone(&opened)), reply::completion(&format!("answer {later}"))],
    })
    .await;
    (upstream, gate)
}

async fn until_stale(gateway: &Gateway) -> Answer {
    until("it is stale", async || {
        let answer = gateway.chat("m").await;
        (answer.header("x-cache") == "STALE").then_some(answer)
    })
    .await
}

#[tokio::test]
async fn an_old_answer_stands_in_for_an_upstream_that_is_dead() {
    let (upstream, _gate) = changing().await;
    let gateway = Gateway::start(kept(&upstream, "stale_if_error = \"1h\"")).await;
    let first = gateway.chat("m").await;
    assert_eq!(first.header("x-cache"), "MISS");
    drop(upstream);
    let stale = until_stale(&gateway).await;
    assert_eq!((stale.status, &stale.body), (200, &first.body));
    assert_eq!(stale.header("x-weir-degraded"), "stale");
    assert!(stale.header("age").parse::<u64>().unwrap() >= 1);
    let mut flow: Flow = gateway.stream("m").await;
    assert_eq!((flow.status, &flow.headers["x-cache"]), (200, &"STALE".parse().unwrap()));
    assert_eq!(flow.events().await.last().unwrap(), "[DONE]");
    // Whoever wants nothing old, or asks for what is not there, hears how it is.
    assert_eq!(gateway.chat("another").await.status, 502);
    gateway.until_idle().await;
    let records = gateway.records();
    let stale = records.iter().filter(|record| record["cache"] == "STALE");
    assert!(stale.clone().count() >= 2, "{records:?}");
    assert!(stale.clone().all(|record| record["status"] == 200), "{records:?}");
}

#[tokio::test]
async fn without_leave_to_be_stale_an_error_is_an_error() {
    let (upstream, _gate) = changing().await;
    let gateway = Gateway::start(kept(&upstream, "stale_if_error = \"0s\"")).await;
    assert_eq!(gateway.chat("m").await.status, 200);
    drop(upstream);
    let failed = until("it is too old", async || {
        let answer = gateway.chat("m").await;
        (answer.header("x-cache") != "HIT").then_some(answer)
    })
    .await;
    assert_eq!((failed.status, failed.header("x-weir-degraded")), (502, ""));
}

#[tokio::test]
async fn an_old_answer_is_given_at_once_while_one_new_one_is_fetched() {
    let (upstream, gate) = changing().await;
    let gateway = Gateway::start(kept(&upstream, "stale_while_revalidate = \"1h\"")).await;
    let first = gateway.chat("m").await;
    let stale = until_stale(&gateway).await;
    assert_eq!((stale.status, &stale.body, stale.header("x-weir-degraded")), (200, &first.body, ""));
    // The new one hangs at its gate: nobody waits for it, and nobody fetches it again.
    for answer in join_all((0..20).map(|_| gateway.chat("m"))).await {
        assert_eq!((answer.status, answer.header("x-cache"), &answer.body), (200, "STALE", &first.body));
    }
    upstream.until_seen(2).await;
    gate.add_permits(1);
    let new = until("the new one", async || {
        let answer = gateway.chat("m").await;
        answer.text().contains("answer 1").then_some(answer)
    })
    .await;
    assert_eq!(new.status, 200);
    gate.add_permits(10);
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_new_one_that_cannot_be_fetched_leaves_the_old_one() {
    let (upstream, _gate) = changing().await;
    let gateway = Gateway::start(kept(&upstream, "stale_while_revalidate = \"1h\"")).await;
    let first = gateway.chat("m").await;
    drop(upstream);
    for _ in 0..3 {
        let stale = until_stale(&gateway).await;
        assert_eq!((stale.status, &stale.body), (200, &first.body));
        gateway.until_idle().await;
    }
}
