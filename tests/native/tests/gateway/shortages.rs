//! What the gateway is short of itself is its own fault.

use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Gateway, Raw, Upstream, reply};

#[tokio::test]
async fn out_of_descriptors_is_told_as_the_gateways_own_and_opens_no_breaker() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let document = format!(
        "auth = \"open\"\nserver = {{ workers = 1 }}\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\n\
         [upstream.up]\ndialect = \"openai\"\nbase_url = \"{}\"\n",
        upstream.base()
    );
    let gateway = Gateway::start(document).await;
    gateway.program.exhaust_files();
    for _ in 0..10 {
        let answer = gateway.explained_chat("m").await;
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.status, code), (503, &"gateway_exhausted".into()), "{}", answer.text());
        assert!(answer.header("x-weir-explain").contains("out of file descriptors here"));
    }
    gateway.program.allow_files();
    assert_eq!(gateway.chat("m").await.status, 200, "at once");
    let ready = gateway.get("/ready").await.json();
    assert_eq!(ready["upstreams"]["up"]["breaker"], "closed");
    assert!(
        ready["upstreams"]["up"]["models"].is_null()
            && ready["upstreams"]["up"]["last_unconnected"].is_null()
    );
    let unsent = gateway.metrics().await.sum("weir_upstream_unsent_total", &["want=\"descriptors\""]);
    assert!((9.5..10.5).contains(&unsent), "{unsent}");
    until("a line of it", async || {
        let is_told = |line: &serde_json::Value| line["want"] == "descriptors" && line["level"] == "ERROR";
        holds(gateway.logs().iter().any(is_told))
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_no_descriptor_is_left_for_waits_and_is_counted() {
    let gateway = Gateway::start(weir_native_tests::SIMULATED).await;
    assert_eq!(gateway.chat("sim").await.status, 200, "over the connection that will be kept");
    gateway.program.exhaust_files();
    let mut waiting = Raw::connect(gateway.address).await;
    assert!(waiting.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await);
    gateway
        .until_metrics("accepts that failed", |metrics| {
            metrics.sum("weir_connections_refused_total", &["bound=\"descriptors\""]) >= 1.0
        })
        .await;
    gateway.program.allow_files();
    assert!(waiting.status_line().await.contains("200"));
    until("a line of it", async || {
        holds(gateway.logs().iter().any(|line| line["message"] == "connections are not accepted"))
    })
    .await;
}

#[tokio::test]
async fn as_many_files_are_opened_as_the_system_allows() {
    let gateway = Gateway::start(weir_native_tests::SIMULATED).await;
    let (soft, hard) = gateway.program.file_limits();
    assert_eq!(soft, hard);
}
