//! Upstreams whose credential is not found stay out of use; the rest works, and says so.

use weir_native_tests::{Gateway, Launch, Upstream, reply};

fn document(first: &Upstream, second: &Upstream) -> String {
    format!(
        "auth = \"open\"\n[[route]]\nmodel = \"*\"\nto = [\"first\"]\nfallback = [\"second\"]\n\
         [upstream.first]\ndialect = \"openai\"\nbase_url = \"{}\"\napi_key = {{ env = \"FIRST_KEY\" }}\n\
         [upstream.second]\ndialect = \"openai\"\nbase_url = \"{}\"\napi_key = {{ env = \"SECOND_KEY\" }}\n",
        first.base(),
        second.base()
    )
}

async fn two() -> (Upstream, Upstream) {
    let answer = || Upstream::start(|_| vec![reply::completion("hi")]);
    (answer().await, answer().await)
}

#[tokio::test]
async fn an_upstream_without_its_credential_is_skipped_and_the_gateway_says_why() {
    let (first, second) = two().await;
    let gateway = Launch::of(document(&first, &second)).env("SECOND_KEY", "sk-second").start().await;
    let answer = gateway.explained_chat("m").await;
    assert_eq!(answer.status, 200);
    let explanation = answer.explanation();
    assert_eq!(explanation["skipped"][0]["upstream"], "first", "{explanation}");
    assert!(explanation["skipped"][0]["why"].as_str().unwrap().contains("FIRST_KEY"), "{explanation}");
    assert_eq!(explanation["attempts"][0]["upstream"], "second", "{explanation}");
    assert_eq!((first.connections(), second.seen().len()), (0, 1));
    assert_eq!(second.seen()[0].header("authorization"), Some("Bearer sk-second"));
    let ready = gateway.get("/ready").await;
    let upstreams = &ready.json()["upstreams"];
    assert_eq!((ready.status, &upstreams["first"]["usable"]), (200, &false.into()), "{upstreams}");
    assert!(upstreams["first"]["why"].as_str().unwrap().contains("FIRST_KEY"), "{upstreams}");
    assert_eq!(upstreams["second"]["usable"], true);
}

#[tokio::test]
async fn without_any_credential_calls_are_told_to_come_back() {
    let (first, second) = two().await;
    let gateway = Gateway::start(document(&first, &second)).await;
    let answer = gateway.chat("m").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"circuit_open".into()));
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    assert!(answer.header("retry-after-ms").parse::<u64>().is_ok());
    assert!(!answer.text().contains("_KEY"), "a caller has no business with it: {}", answer.text());
    assert_eq!(gateway.get("/ready").await.status, 503);
    assert_eq!(gateway.get("/health").await.status, 200);
    assert_eq!((first.connections(), second.connections()), (0, 0));
    assert_eq!(gateway.record().await["ending"], "failed");
}

#[tokio::test]
async fn an_empty_credential_is_none() {
    let (first, second) = two().await;
    let launch = Launch::of(document(&first, &second)).env("FIRST_KEY", "").env("SECOND_KEY", " \n");
    let gateway = launch.start().await;
    assert_eq!(gateway.chat("m").await.status, 503);
    assert_eq!((first.connections(), second.connections()), (0, 0));
}
