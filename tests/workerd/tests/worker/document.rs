//! A document that changes without a deployment, and answers that are kept in KV.

use serde_json::json;
use weir_native_tests::{Extra, Upstream, reply, status, wait};

use crate::{ask, logged, start};

async fn that_says(text: &'static str) -> Upstream {
    Upstream::start(move |_| vec![reply::completion(text)]).await
}

#[tokio::test]
async fn another_document_holds_without_a_deployment_and_a_broken_one_never() {
    let (one, other) = (that_says("from one").await, that_says("from the other").await);
    let mut gateway = start(&json!({ "bindings": { "WEIR_CONFIG_SECONDS": "1" }, "kv": ["CONFIG"] }));
    assert_eq!(status(&ask(gateway.address, "").await), 503, "there is no document yet");
    let put = |text: String| json!({ "put": ["CONFIG", "weir.toml", text] });
    gateway.say(&put(one.document(""))).unwrap();
    let says = async |text: &str| {
        let answer = ask(gateway.address, "").await;
        wait::holds(answer.contains(text))
    };
    wait::until("an answer from one", async || says("from one").await).await;
    gateway.say(&put(other.document(""))).unwrap();
    let says = async |text: &str| wait::holds(ask(gateway.address, "").await.contains(text));
    wait::until("an answer from the other", async || says("from the other").await).await;
    gateway.say(&put("auth = \"sometimes\"".into())).unwrap();
    wait::until("a document that is rejected", async || {
        let answer = ask(gateway.address, "").await;
        assert!(answer.contains("from the other"), "{answer}");
        wait::holds(gateway.log.text().contains("configuration rejected"))
    })
    .await;
    let answer = ask(gateway.address, "").await;
    assert!(answer.contains("from the other"), "{answer}");
    logged(&gateway, &["configuration in force", "version"]).await;
}

#[tokio::test]
async fn a_secret_of_the_worker_is_the_key_of_an_upstream() {
    let upstream = that_says("it").await;
    let config = upstream.document("api_key = { env = \"UPSTREAM_KEY\" }");
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config, "UPSTREAM_KEY": "sk-of-upstream" } }));
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    assert_eq!(upstream.seen()[0].header("authorization"), Some("Bearer sk-of-upstream"));
    assert!(!gateway.log.text().contains("sk-of-upstream"));
}

#[tokio::test]
async fn an_answer_in_kv_is_given_where_the_near_cache_has_none() {
    let upstream = that_says("kept").await;
    let route = "cache = { ttl = \"5m\", place = \"kv\" }";
    let config = upstream.document_with(&Extra { route, ..Extra::default() });
    let folder = tempfile::tempdir().unwrap();
    let bindings = json!({ "WEIR_CONFIG": config });
    let given = json!({ "bindings": bindings, "kv": ["CACHE"], "persist": folder.path() });
    let mut gateway = start(&given);
    let first = ask(gateway.address, "").await;
    assert!(first.contains("x-cache: MISS"), "{first}");
    wait::until("an answer in KV", async || {
        let keys = gateway.say(&json!({ "list": "CACHE" })).unwrap();
        wait::holds(keys.starts_with("[\""))
    })
    .await;
    // An isolate that knows nothing, where nothing is near.
    gateway.end();
    let mut gateway = start(&given);
    gateway.say(&json!({ "forget": true })).unwrap();
    let second = ask(gateway.address, "").await;
    assert!(second.contains("x-cache: HIT"), "{second}");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_route_that_wants_kv_needs_it() {
    let upstream = that_says("it").await;
    let config = upstream.document_with(&Extra { route: "cache = { place = \"kv\" }", ..Extra::default() });
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config } }));
    assert_eq!(status(&ask(gateway.address, "").await), 503);
    logged(&gateway, &["no KV namespace CACHE"]).await;
}
