//! More calls than there is room for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Request;
use tokio::sync::Semaphore;
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{
    Act, Exposition, Extra, Gateway, Outgoing, Raw, Upstream, chat_body, chat_bytes, chat_request, hash,
    reply,
};

/// What a refusal may take on a machine that does other things as well. The calls before it take for ever.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn gated() -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream =
        Upstream::start(move |_| vec![Act::Gate(Arc::clone(&opened)), reply::completion("hi")]).await;
    (upstream, gate)
}

fn narrow(upstream: &Upstream, concurrency: &str) -> String {
    let concurrency = format!("concurrency = {concurrency}");
    upstream.document_with(&Extra { upstream: &concurrency, ..Extra::default() })
}

async fn until_queued(gateway: &Gateway, count: f64) {
    gateway
        .until_metrics(&format!("{count} queued"), |metrics| {
            (metrics.sum("weir_queued", &[]) - count).abs() < 0.1
        })
        .await;
}

fn assert_counted(metrics: &Exposition, name: &str, labels: &[&str], count: f64) {
    let counted = metrics.sum(name, labels);
    assert!((counted - count).abs() < 0.1, "{name} {labels:?}: {counted}\n{}", metrics.0);
}

async fn assert_free(gateway: &Gateway) {
    gateway.until_idle().await;
    let metrics = gateway.metrics().await;
    assert_counted(&metrics, "weir_concurrency", &[], 0.0);
    assert_counted(&metrics, "weir_queued", &[], 0.0);
}

#[tokio::test]
async fn who_finds_the_queue_full_is_turned_away_at_once() {
    let (upstream, gate) = gated().await;
    let gateway = Gateway::start(narrow(&upstream, "{ limit = 1, queue = 1, wait = \"30s\" }")).await;
    let overflowing = async {
        upstream.until_seen(1).await;
        until_queued(&gateway, 1.0).await;
        for count in 1..=3 {
            let started = Instant::now();
            let answer = gateway.explained_chat("late").await;
            let took = started.elapsed();
            assert!(took < AT_ONCE, "{took:?}");
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"overloaded".into()));
            assert_eq!(answer.json()["error"]["type"], "server_error");
            let [after, after_ms] =
                ["retry-after", "retry-after-ms"].map(|name| answer.header(name).parse::<u64>().unwrap());
            assert!((1..=60).contains(&after) && (1..=60_000).contains(&after_ms), "{after} {after_ms}");
            assert_eq!(answer.header("x-should-retry"), "", "another time it may go");
            let explanation = answer.explanation();
            assert_eq!(explanation["skipped"][0]["upstream"], "up", "{explanation}");
            assert_eq!(explanation["skipped"][0]["why"], "overloaded", "{explanation}");
            let metrics = gateway.metrics().await;
            assert_counted(&metrics, "weir_shed_total", &["limiter=\"up\""], f64::from(count));
        }
        gate.add_permits(2);
    };
    let second = async {
        upstream.until_seen(1).await;
        gateway.explained_chat("second").await
    };
    let (first, second, ()) = tokio::join!(gateway.chat("first"), second, overflowing);
    assert_eq!((first.status, second.status), (200, 200));
    let explanation = second.explanation();
    assert_eq!(explanation["queued"][0]["limiter"], "up", "{explanation}");
    let metrics = gateway.metrics().await;
    assert_counted(&metrics, "weir_queue_wait_seconds_count", &["limiter=\"up\""], 1.0);
    assert!(metrics.sum("weir_queue_wait_seconds_sum", &[]) > 0.001);
    assert_eq!(upstream.seen().len(), 2, "who was turned away was not sent");
    assert_free(&gateway).await;
}

#[tokio::test]
async fn nobody_waits_longer_than_the_queue_lets_them() {
    let (upstream, gate) = gated().await;
    let gateway = Gateway::start(narrow(&upstream, "{ limit = 1, queue = 5, wait = \"200ms\" }")).await;
    let waiting = async {
        upstream.until_seen(1).await;
        let started = Instant::now();
        let answers = join_all((0..3).map(|_| gateway.chat("late"))).await;
        let took = started.elapsed();
        assert!(took > Duration::from_millis(150) && took < Duration::from_secs(5), "{took:?}");
        for answer in answers {
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"overloaded".into()));
        }
        gate.add_permits(1);
    };
    let (first, ()) = tokio::join!(gateway.chat("first"), waiting);
    assert_eq!(first.status, 200);
    assert_free(&gateway).await;
}

fn by(caller: &str, model: &str) -> Request<Outgoing> {
    let mut request = chat_request(&chat_body(model));
    request.headers_mut().insert("authorization", format!("Bearer {caller}").parse().unwrap());
    request
}

#[tokio::test]
async fn who_is_more_important_goes_first_and_pushes_out_who_is_not() {
    let (upstream, gate) = gated().await;
    let key = |name: &str| format!("[key.{name}]\nhash = \"{}\"\npriority = \"{name}\"\n", hash(name));
    let keys = ["low", "normal", "high"].map(key).concat();
    let document = upstream.document_with(&Extra {
        upstream: "concurrency = { limit = 1, queue = 3, wait = \"30s\" }",
        tables: &keys,
        ..Extra::default()
    });
    let gateway = Gateway::start(document).await;
    let after = async |queued: f64, caller: &str, model: &str| {
        upstream.until_seen(1).await;
        until_queued(&gateway, queued).await;
        gateway.send(by(caller, model)).await
    };
    let opening = async {
        upstream.until_seen(1).await;
        gateway.until_metrics("one is pushed out", |metrics| metrics.sum("weir_shed_total", &[]) > 0.5).await;
        gate.add_permits(4);
    };
    let pushing = async {
        upstream.until_seen(1).await;
        until_queued(&gateway, 3.0).await;
        gateway.send(by("high", "high 2")).await
    };
    let (holder, low, normal, high, pusher, ()) = tokio::join!(
        gateway.send(by("normal", "holder")),
        after(0.0, "low", "low 1"),
        after(1.0, "normal", "normal 1"),
        after(2.0, "high", "high 1"),
        pushing,
        opening
    );
    let statuses = [holder, low, normal, high, pusher].map(|answer| answer.status);
    assert_eq!(statuses, [200, 503, 200, 200, 200]);
    let order: Vec<_> = upstream.seen().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(order, ["holder", "high 1", "high 2", "normal 1"]);
    assert_free(&gateway).await;
}

#[tokio::test]
async fn the_process_has_a_bound_of_its_own_and_still_says_how_it_is() {
    let (upstream, gate) = gated().await;
    let tables = "[server]\nworkers = 4\nconcurrency = { limit = 3, queue = 0 }\n";
    let gateway = Gateway::start(upstream.document_with(&Extra { tables, ..Extra::default() })).await;
    let overflowing = async {
        upstream.until_seen(3).await;
        let started = Instant::now();
        let answer = gateway.chat("late").await;
        assert!(started.elapsed() < AT_ONCE);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"overloaded".into()));
        for path in ["/health", "/ready", "/metrics", "/v1/models"] {
            assert_eq!(gateway.get(path).await.status, 200, "{path}");
        }
        let metrics = gateway.metrics().await;
        assert_counted(&metrics, "weir_concurrency", &["limiter=\"process\""], 3.0);
        assert_counted(&metrics, "weir_shed_total", &["limiter=\"process\""], 1.0);
        gate.add_permits(3);
    };
    let (answers, ()) = tokio::join!(join_all((0..3).map(|_| gateway.chat("m"))), overflowing);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_free(&gateway).await;
}

/// Whoever is refused for another reason has its place back as well.
#[tokio::test]
async fn what_is_refused_or_left_frees_its_place() {
    let (upstream, gate) = gated().await;
    let tables = "[server]\nconcurrency = { limit = 1, queue = 0 }\n";
    let gateway = Gateway::start(upstream.document_with(&Extra { tables, ..Extra::default() })).await;
    for _ in 0..3 {
        let post = Request::post("/v1/chat/completions").header("content-type", "application/json");
        assert_eq!(gateway.send(post.body(weir_native_tests::whole("{")).unwrap()).await.status, 400);
    }
    let mut body = Raw::connect(gateway.address).await;
    body.send("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n").await;
    drop(body);
    let mut client = Raw::connect(gateway.address).await;
    client.send(chat_bytes(&chat_body("m"), "")).await;
    upstream.until_seen(1).await;
    drop(client);
    assert_free(&gateway).await;
    gate.add_permits(2);
    assert_eq!(gateway.chat("m").await.status, 200);
}

#[tokio::test]
async fn who_leaves_the_queue_is_not_sent() {
    let (upstream, gate) = gated().await;
    let gateway = Gateway::start(narrow(&upstream, "{ limit = 1, queue = 5, wait = \"30s\" }")).await;
    let leaving = async {
        upstream.until_seen(1).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = Raw::connect(gateway.address).await;
            client.send(chat_bytes(&chat_body("left"), "")).await;
            clients.push(client);
        }
        until_queued(&gateway, 5.0).await;
        drop(clients);
        until_queued(&gateway, 0.0).await;
        gate.add_permits(10);
    };
    let (first, ()) = tokio::join!(gateway.chat("first"), leaving);
    assert_eq!(first.status, 200);
    assert_free(&gateway).await;
    assert_eq!(upstream.seen().len(), 1);
    until("all have their records", async || holds(gateway.records().len() == 6)).await;
}

#[tokio::test]
async fn an_upstream_that_is_full_is_passed_over_for_the_fallback() {
    let (full, gate) = gated().await;
    let spare = Upstream::start(|_| vec![reply::completion("spare")]).await;
    let document = full.document_with(&Extra {
        route: "fallback = [\"spare\"]",
        upstream: "concurrency = { limit = 1, queue = 0 }",
        tables: &format!("[upstream.spare]\ndialect = \"openai\"\nbase_url = \"{}\"\n", spare.base()),
    });
    let gateway = Gateway::start(document).await;
    let second = async {
        full.until_seen(1).await;
        let answer = gateway.chat("m").await;
        gate.add_permits(1);
        answer
    };
    let (first, second) = tokio::join!(gateway.chat("m"), second);
    assert!(first.text().contains("hi") && second.text().contains("spare"), "{}", second.text());
    assert_free(&gateway).await;
}
