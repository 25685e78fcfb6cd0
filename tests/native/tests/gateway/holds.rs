//! What a call holds in Redis comes back, whatever becomes of the replica, of the link and of the store (invariants 1 and 5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use weir::limits::account::HELD;
use weir::store::redis::Value;
use weir_native_tests::wait::{holds, until, until_within};
use weir_native_tests::{Act, Answer, Gateway, Proxy, Upstream, chat_body, chat_request, reply};
use weir_redis_tests::{Connection, Server};

/// A lease runs out, and somebody looks.
const PATIENCE: Duration = Duration::from_secs(HELD.as_secs() + 15);

const LIMITS: &str =
    "\n[server]\nworkers = 1\n\n[limits.default]\nconcurrent = 1\non_store_loss = \"open\"\n";

fn at(address: std::net::SocketAddr, timeout: &str) -> String {
    format!("\n[store]\nkind = \"redis\"\nurl = \"redis://{address}\"\ntimeout = \"{timeout}\"\n")
}

/// What asks for `slow` is answered as permits come, the rest at once.
async fn gated() -> (Arc<Semaphore>, Upstream) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::start(move |seen| match seen.json()["model"].as_str() {
        Some("slow") => vec![Act::Gate(Arc::clone(&opened)), reply::completion("hi")],
        _ => vec![reply::completion("hi")],
    })
    .await;
    (gate, upstream)
}

/// Places that are taken.
fn places(connection: &mut Connection) -> i64 {
    let Ok(Value::Array(keys)) = connection.call(&["KEYS", "*:holds:*"]) else { panic!("no KEYS") };
    let count = |key: &Value| {
        let Value::Bytes(key) = key else { panic!("{key:?}") };
        let key = std::str::from_utf8(key).unwrap();
        match connection.call(&["ZCARD", key]) {
            Ok(Value::Int(count)) => count,
            other => panic!("{other:?}"),
        }
    };
    keys.iter().map(count).sum()
}

async fn keyed(gateway: &Gateway, model: &str) -> Answer {
    let mut request = chat_request(&chat_body(model));
    request.headers_mut().insert("idempotency-key", "order-7".parse().unwrap());
    gateway.send(request).await
}

/// The pause begins when a call is under way: its end cannot be told, and is told when Redis is there again.
#[tokio::test]
async fn a_pause_of_redis_leaves_no_place_taken() {
    let (gate, upstream) = gated().await;
    let server = Server::start();
    let document = [&upstream.document(""), LIMITS, &at(server.address, "100ms")].concat();
    let gateway = Gateway::start(document).await;
    let mut connection = server.connect();
    let call = gateway.chat("slow");
    let release = async {
        upstream.until_seen(1).await;
        assert_eq!(places(&mut connection), 1);
        connection.call(&["CLIENT", "PAUSE", "400", "ALL"]).unwrap();
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(call, release);
    assert_eq!(answer.status, 200);
    until("the place is free", async || holds(places(&mut connection) == 0)).await;
    until("nothing is degraded", async || {
        let answer = gateway.chat("m").await;
        assert_ne!(answer.status, 429, "{}", answer.text());
        holds(answer.header("x-weir-degraded").is_empty())
    })
    .await;
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("weir_store_unsettled_total", &[]) < 0.5, "{}", metrics.0);
    assert!(metrics.sum("weir_store_waiting", &[]) < 0.5, "{}", metrics.0);
}

/// A call comes during the pause: Redis opens it when nobody waits for it any more.
#[tokio::test]
async fn an_opening_that_was_answered_too_late_is_given_back() {
    let (_, upstream) = gated().await;
    let server = Server::start();
    let document = [&upstream.document(""), LIMITS, &at(server.address, "100ms")].concat();
    let gateway = Gateway::start(document).await;
    assert_eq!(gateway.chat("m").await.status, 200);
    gateway.until_idle().await;
    let mut connection = server.connect();
    connection.call(&["CLIENT", "PAUSE", "400", "ALL"]).unwrap();
    let answer = gateway.chat("m").await;
    assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, "store"));
    until("nothing is degraded", async || {
        let answer = gateway.chat("m").await;
        assert_ne!(answer.status, 429, "{}", answer.text());
        holds(answer.header("x-weir-degraded").is_empty())
    })
    .await;
    gateway.until_idle().await;
    until("no place is taken", async || holds(places(&mut connection) == 0)).await;
}

#[tokio::test]
async fn a_cut_link_leaves_no_place_taken() {
    let (gate, upstream) = gated().await;
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let document = [&upstream.document(""), LIMITS, &at(proxy.address, "300ms")].concat();
    let gateway = Gateway::start(document).await;
    let mut connection = server.connect();
    let call = gateway.chat("slow");
    let release = async {
        upstream.until_seen(1).await;
        assert_eq!(places(&mut connection), 1);
        // All connections but the one that asks for it.
        connection.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(call, release);
    assert_eq!(answer.status, 200);
    until("the place is free", async || holds(places(&mut connection) == 0)).await;
    gateway.until_idle().await;
}

/// Nobody settles for a replica that is killed, and nobody waits for longer than a lease; those who ask meanwhile are told
/// how long.
#[tokio::test]
async fn what_a_killed_replica_held_is_free_within_half_a_minute() {
    let (gate, upstream) = gated().await;
    let server = Server::start();
    let document = [&upstream.document(""), LIMITS, &at(server.address, "10s")].concat();
    let (first, second) = (Gateway::start(&*document).await, Gateway::start(&*document).await);
    let mut held = Box::pin(keyed(&first, "slow"));
    tokio::select! {
        _ = &mut held => panic!("it is answered"),
        _ = upstream.until_seen(1) => {}
    }
    drop(held);
    // SIGKILL.
    drop(first);
    let died = Instant::now();
    let refused = second.chat("m").await;
    assert_eq!(refused.status, 429, "it is dead, and nobody knows");
    // The retry that its key is for: it takes over once the lease has run out.
    gate.add_permits(9);
    let retry = until_within(PATIENCE, "the retry is answered", async || {
        let answer = keyed(&second, "slow").await;
        if answer.status == 429 {
            let millis: u64 = answer.header("retry-after-ms").parse().unwrap();
            let left = HELD.saturating_sub(died.elapsed());
            assert!(Duration::from_millis(millis) <= left.max(Duration::from_millis(600)), "{millis}");
            tokio::time::sleep(Duration::from_millis(millis.min(5_000))).await;
            return None;
        }
        Some(answer)
    })
    .await;
    assert_eq!(retry.status, 200, "{}", retry.text());
    assert!(died.elapsed() < HELD + Duration::from_secs(5), "{:?}", died.elapsed());
    assert_eq!(upstream.seen().len(), 2, "the first one's call, and the retry's");
    assert_eq!(second.chat("m").await.status, 200);
}

/// The same of a key alone: a retry that comes at once waits for it, and no client has to come again.
#[tokio::test]
async fn a_retry_elsewhere_takes_over_from_a_replica_that_died() {
    let (gate, upstream) = gated().await;
    let server = Server::start();
    let document = upstream.document("") + &at(server.address, "10s");
    let (first, second) = (Gateway::start(&*document).await, Gateway::start(&*document).await);
    let mut held = Box::pin(keyed(&first, "slow"));
    tokio::select! {
        _ = &mut held => panic!("it is answered"),
        _ = upstream.until_seen(1) => {}
    }
    drop(held);
    drop(first);
    gate.add_permits(9);
    let retry = weir_native_tests::wait::within(PATIENCE, "the retry", keyed(&second, "slow")).await;
    assert_eq!((retry.status, retry.header("idempotent-replayed")), (200, ""));
    second.until_idle().await;
    assert_eq!(keyed(&second, "slow").await.header("idempotent-replayed"), "true");
    assert_eq!(upstream.seen().len(), 2);
}

/// A call that lasts longer than its lease renews it, and comes back to a store that has forgotten everything.
#[tokio::test]
async fn a_call_that_lasts_holds_its_place_and_takes_it_again_where_it_was_forgotten() {
    let (gate, upstream) = gated().await;
    let server = Server::start();
    let document = [&upstream.document(""), LIMITS, &at(server.address, "10s")].concat();
    let (first, second) = (Gateway::start(&*document).await, Gateway::start(&*document).await);
    let mut connection = server.connect();
    let call = keyed(&first, "slow");
    let watch = async {
        upstream.until_seen(1).await;
        // As a failover to a replica that has not heard of it.
        connection.call(&["FLUSHALL"]).unwrap();
        until_within(PATIENCE, "the place is taken again", async || holds(places(&mut connection) == 1))
            .await;
        assert_eq!(second.chat("m").await.status, 429);
        gate.add_permits(9);
    };
    let (answer, ()) = tokio::join!(call, watch);
    assert_eq!(answer.status, 200);
    until("the place is free", async || holds(second.chat("m").await.status == 200)).await;
    let again = keyed(&second, "slow").await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, "true"),
        "its key was its own again"
    );
}
