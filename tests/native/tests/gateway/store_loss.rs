//! The store that counts is lost, and comes back. Failpoints make it so: in this process it cannot be lost.

use http::Request;
use serde_json::json;
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{
    Answer, Extra, Gateway, Launch, Outgoing, Upstream, chat_body, chat_request, hash, reply, whole,
};

const LOST: &str = "store=return";

/// Four calls a minute for whoever has the key `c`, and what becomes of that while the store is lost.
fn limited(upstream: &Upstream, on_store_loss: &str) -> String {
    upstream.document_with(&Extra {
        tables: &format!(
            "[key.c]\nhash = \"{}\"\nlimits = {{ requests = \"4/min\", on_store_loss = \"{on_store_loss}\" }}\n\
             [store]\nlocal_share = \"50%\"\n",
            hash("c")
        ),
        ..Extra::default()
    })
}

async fn ready() -> Upstream {
    Upstream::start(|_| vec![reply::completion("hi")]).await
}

fn by(caller: &str) -> Request<Outgoing> {
    let mut request = chat_request(&chat_body("m"));
    request.headers_mut().insert("authorization", format!("Bearer {caller}").parse().unwrap());
    request
}

async fn ask(gateway: &Gateway, caller: &str) -> Answer {
    gateway.send(by(caller)).await
}

#[tokio::test]
async fn each_limit_does_what_it_says_while_the_store_is_lost() {
    for (on_store_loss, statuses) in [
        ("closed", [503, 503, 503, 503, 503, 503]),
        ("open", [200; 6]),
        ("local", [200, 200, 429, 429, 429, 429]),
    ] {
        let upstream = ready().await;
        let launch = Launch::of(limited(&upstream, on_store_loss)).env("FAILPOINTS", LOST);
        let gateway = launch.start().await;
        let mut answered = 0;
        for status in statuses {
            let answer = ask(&gateway, "c").await;
            assert_eq!(answer.status, status, "{on_store_loss}: {}", answer.text());
            assert_eq!(answer.header("x-weir-degraded"), "store", "{on_store_loss}");
            if status == 503 {
                assert_eq!(answer.json()["error"]["code"], "store_unavailable");
                assert!(answer.header("retry-after-ms").parse::<u64>().unwrap() > 0);
            }
            answered += usize::from(status == 200);
        }
        // It is no reason to doubt a key, nor to believe one.
        assert_eq!(ask(&gateway, "another").await.status, 401, "{on_store_loss}");
        let ready = gateway.get("/ready").await;
        assert_eq!((ready.status, &ready.json()["store"]), (200, &"lost".into()), "{on_store_loss}");
        assert_eq!(upstream.seen().len(), answered, "{on_store_loss}");
        let records = gateway.until_records(answered).await;
        assert!(records.iter().all(|record| record["output_tokens"] == 5), "{records:?}");
        gateway.until_idle().await;
        let metrics = gateway.metrics().await;
        assert!(metrics.0.contains("weir_requests_total{") == (answered > 0), "{}", metrics.0);
    }
}

#[tokio::test]
async fn a_store_that_comes_back_counts_again_and_readiness_says_so() {
    let upstream = ready().await;
    // Six looks are lost: a call's two of each, or one where nothing was let through.
    let launch = Launch::of(limited(&upstream, "closed")).env("FAILPOINTS", "store=6*return->off");
    let gateway = launch.start().await;
    assert_eq!(gateway.get("/ready").await.json()["store"], "lost");
    assert_eq!(ask(&gateway, "c").await.status, 503);
    until("the store is back", async || holds(gateway.get("/ready").await.json()["store"] == "ok")).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = ask(&gateway, "c").await;
        assert_eq!(answer.header("x-weir-degraded"), "");
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
}

/// Lost between `open` and `close`: the record is kept all the same, and the answer was given.
#[tokio::test]
async fn a_store_that_is_lost_in_the_middle_loses_no_record() {
    let upstream = ready().await;
    let launch = Launch::of(limited(&upstream, "local")).env("FAILPOINTS", "store=1*off->1*return->off");
    let gateway = launch.start().await;
    for degraded in ["", ""] {
        let answer = ask(&gateway, "c").await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, degraded));
        gateway.until_idle().await;
    }
    let records = gateway.until_records(2).await;
    assert!(records.iter().all(|record| record["output_tokens"] == 5), "{records:?}");
}

#[tokio::test]
async fn without_the_store_calls_are_still_shared_and_answered_twice() {
    let upstream = ready().await;
    let document = upstream.document_with(&Extra { route: "cache = true", ..Extra::default() });
    let gateway = Launch::of(document).env("FAILPOINTS", LOST).start().await;
    for _ in 0..2 {
        let answer = gateway.chat("m").await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "MISS"), "what is kept is lost as well");
        assert_eq!(answer.header("x-weir-degraded"), "store");
        let mut keyed = chat_request(&chat_body("keyed"));
        keyed.headers_mut().insert("idempotency-key", "one".parse().unwrap());
        assert_eq!(gateway.send(keyed).await.status, 200);
        gateway.until_idle().await;
    }
    // The key is known to the process by itself.
    assert_eq!(upstream.seen().len(), 3);
}

/// An operator's word does not count for less because nothing can be counted (invariant 2).
#[tokio::test]
async fn a_breaker_that_is_held_open_stays_so_while_the_store_is_lost() {
    let upstream = ready().await;
    let admin = format!("[admin]\nhash = \"{}\"\n", hash("operator"));
    let document = upstream.document_with(&Extra { tables: &admin, ..Extra::default() });
    let gateway = Launch::of(document).env("FAILPOINTS", "store=1*off->return").start().await;
    let order = Request::put("/admin/v1/breakers/up")
        .header("authorization", "Bearer operator")
        .header("content-type", "application/json")
        .body(whole(json!({"state": "open"}).to_string()))
        .unwrap();
    let taken = gateway.send(order).await;
    assert_eq!((taken.status, &taken.json()["state"]), (200, &"open".into()));
    // From here on it is lost.
    let answer = gateway.chat("m").await;
    assert_eq!((answer.status, answer.header("x-weir-degraded")), (503, "store"), "{}", answer.text());
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(answer.json()["error"]["code"], "circuit_open");
    assert_eq!(gateway.get("/ready").await.json()["upstreams"]["up"]["override"], "open");
}
