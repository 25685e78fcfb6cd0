//! Calls with an `Idempotency-Key`: made once, answered as often as they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use serde_json::Value;
use tokio::sync::Semaphore;
use weir_native_tests::wait::within;
use weir_native_tests::{
    Act, Extra, Gateway, Launch, Outgoing, Raw, Upstream, chat_body, chat_bytes, chat_request, hash, reply,
    streamed_chat_body,
};

fn keyed(key: &str, body: &Value) -> Request<Outgoing> {
    let mut request = chat_request(body);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// Says which call this is, behind a gate.
async fn gated() -> (Upstream, Arc<Semaphore>) {
    let (gate, count) = (Arc::new(Semaphore::new(0)), AtomicUsize::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |seen| {
        let text = format!("answer {}", count.fetch_add(1, Ordering::SeqCst));
        let gate = Act::Gate(Arc::clone(&opened));
        if seen.json()["stream"] == true {
            return vec![reply::stream_head(), reply::content(&text), gate, reply::farewell()];
        }
        vec![gate, reply::completion(&text)]
    })
    .await;
    (upstream, gate)
}

/// No cache is needed for it, and threads do not matter.
fn document(upstream: &Upstream) -> String {
    upstream.document_with(&Extra { tables: "[server]\nworkers = 4\n", ..Extra::default() })
}

#[tokio::test]
async fn parallel_calls_with_one_key_are_one_upstream_call() {
    let (upstream, gate) = gated().await;
    let gateway = Gateway::start(document(&upstream)).await;
    let body = chat_body("m");
    let calls = join_all((0..20).map(|_| gateway.send(keyed("one", &body))));
    let opening = async {
        gateway.until_metrics("all are there", |metrics| metrics.sum("weir_in_flight", &[]) >= 20.0).await;
        gate.add_permits(100);
    };
    let (answers, ()) = tokio::join!(calls, opening);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    let later = gateway.send(keyed("one", &body)).await;
    assert_eq!((later.status, later.header("idempotent-replayed")), (200, "true"));
    assert_eq!(later.body, answers[0].body);
    assert_eq!(upstream.seen().len(), 1);
    // Without it, or with another one, it is another call.
    assert!(gateway.send(chat_request(&body)).await.text().contains("answer 1"));
    assert!(gateway.send(keyed("two", &body)).await.text().contains("answer 2"));
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_is_a_conflict_that_no_client_repeats() {
    let (upstream, gate) = gated().await;
    gate.add_permits(10);
    let gateway = Gateway::start(document(&upstream)).await;
    assert_eq!(gateway.send(keyed("one", &chat_body("m"))).await.status, 200);
    for body in [chat_body("n"), streamed_chat_body("m")] {
        let answer = gateway.send(keyed("one", &body)).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (409, &"idempotency_conflict".into()));
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_call_whose_client_left_is_there_when_it_is_asked_for_again() {
    for body in [chat_body("m"), streamed_chat_body("m")] {
        let (upstream, gate) = gated().await;
        let gateway = Gateway::start(document(&upstream)).await;
        let mut client = Raw::connect(gateway.address).await;
        client.send(chat_bytes(&body, "idempotency-key: one\r\n")).await;
        upstream.until_seen(1).await;
        client.reset();
        gate.add_permits(1);
        gateway.until_idle().await;
        let answer = gateway.send(keyed("one", &body)).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, "true"), "{body}");
        assert!(answer.text().contains("answer 0"), "{}", answer.text());
        assert_eq!((upstream.seen().len(), upstream.gone()), (1, 0));
    }
}

/// It joins the first one's call while that still goes.
#[tokio::test]
async fn a_call_that_is_asked_for_again_while_it_runs_is_not_made_twice() {
    let (upstream, gate) = gated().await;
    let gateway = Gateway::start(document(&upstream)).await;
    let body = streamed_chat_body("m");
    let mut client = Raw::connect(gateway.address).await;
    client.send(chat_bytes(&body, "idempotency-key: one\r\n")).await;
    client.read_until("answer 0").await;
    client.reset();
    let mut again = gateway.flow(keyed("one", &body)).await;
    assert!(again.event().await.unwrap().contains("answer 0"));
    gate.add_permits(1);
    assert_eq!(again.events().await.last().unwrap(), "[DONE]");
    assert_eq!((upstream.seen().len(), upstream.gone()), (1, 0));
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant() {
    let (upstream, gate) = gated().await;
    gate.add_permits(10);
    let keys = ["a", "b"].map(|name| format!("[key.{name}]\nhash = \"{}\"\n", hash(name))).concat();
    let keys = keys.replace("\n[", "\ntenant = \"a\"\n[") + "tenant = \"b\"\n";
    let gateway = Gateway::start(upstream.document_with(&Extra { tables: &keys, ..Extra::default() })).await;
    for (caller, told) in [("a", "answer 0"), ("b", "answer 1"), ("a", "answer 0")] {
        let mut request = keyed("one", &chat_body("m"));
        request.headers_mut().insert("authorization", format!("Bearer {caller}").parse().unwrap());
        assert!(gateway.send(request).await.text().contains(told), "{caller}");
    }
}

#[tokio::test]
async fn a_call_that_failed_may_be_made_again_with_its_key() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => vec![reply::error("400 Bad Request", "no")],
        _ => vec![reply::completion("hi")],
    })
    .await;
    let gateway = Gateway::start(document(&upstream)).await;
    assert_eq!(gateway.send(keyed("one", &chat_body("m"))).await.status, 400);
    gateway.until_idle().await;
    // The conflict went with the failure.
    assert_eq!(gateway.send(keyed("one", &chat_body("n"))).await.status, 200);
}

/// The store is lost while the call runs, so what it was answered is not kept. Whoever asks again may be told to
/// come back, but must not be left waiting until nobody knows of the first any more.
#[tokio::test]
async fn whoever_asks_again_for_a_call_that_was_lost_is_told_so_in_time() {
    let (upstream, gate) = gated().await;
    gate.add_permits(10);
    let document = document(&upstream).replace("breaker =", "timeout = { total = \"1s\" }\nbreaker =");
    // Once for `open`, once for `close`.
    let launch = Launch::of(document).env("FAILPOINTS", "store=1*off->1*return->off");
    let gateway = launch.start().await;
    assert_eq!(gateway.send(keyed("one", &chat_body("m"))).await.status, 200);
    gateway.until_idle().await;
    let again = gateway.send(keyed("one", &chat_body("m")));
    let answer = within(Duration::from_secs(8), "an answer, of whatever kind", again).await;
    assert!([200, 409].contains(&answer.status), "{}", answer.status);
}
