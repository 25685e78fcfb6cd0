//! A component that misbehaves hurts one request, and its client is told the truth.

use weir_host_tests::{Host, is_whole};
use weir_native_tests::status;
use weir_redis_tests::Server;

/// No Redis of this machine is asked for: the component is told of one that is not there.
const NO_REDIS: [&str; 2] = ["--redis", "redis://127.0.0.1:1"];

async fn host() -> Host {
    Host::start("", &NO_REDIS).await
}

#[tokio::test]
async fn a_trap_before_the_head_is_an_error_in_openais_shape() {
    let host = host().await;
    let answer = host.get("/trap").await;
    assert_eq!(status(&answer), 500, "{answer}");
    assert!(answer.contains(r#""type":"server_error""#), "{answer}");
    assert!(is_whole(&host.get("/").await), "the next request is answered");
}

#[tokio::test]
async fn a_stream_that_is_cut_off_never_ends_as_if_it_were_whole() {
    let host = host().await;
    let cut = host.get("/trap-in-stream").await;
    assert!(cut.contains("begun") && !is_whole(&cut), "{cut}");
    let whole = host.get("/trap-after-stream").await;
    assert!(whole.contains("whole") && is_whole(&whole), "{whole}");
}

#[tokio::test]
async fn an_endless_loop_is_stopped_and_starves_nobody() {
    let arguments = [NO_REDIS.as_slice(), &["--instance-cpu", "500"]].concat();
    let host = Host::start("", &arguments).await;
    let mut loops = [host.ask("/loop").await, host.ask("/loop").await, host.ask("/loop").await];
    assert!(host.get("/").await.contains("hello"), "others are answered meanwhile");
    for looping in &mut loops {
        assert_eq!(status(&looping.to_end().await), 500);
    }
    assert!(host.program.stderr.text().contains("it has computed for"), "{}", host.program.stderr.text());
}

#[tokio::test]
async fn an_instance_gets_no_more_memory_than_it_may_have() {
    let arguments = [NO_REDIS.as_slice(), &["--instance-memory", "16"]].concat();
    let host = Host::start("", &arguments).await;
    assert_eq!(status(&host.get("/allocate").await), 500);
    assert!(host.get("/").await.contains("hello"));
}

#[tokio::test]
async fn beyond_the_instances_a_request_is_refused_at_once() {
    let arguments = [NO_REDIS.as_slice(), &["--instances", "1"]].concat();
    let host = Host::start("", &arguments).await;
    let mut loops = Vec::new();
    let refused = weir_native_tests::wait::until("a refusal", async || {
        // Whoever comes first has the instance: it may be the loop that is refused.
        loops.push(host.ask("/loop").await);
        let answer = host.get("/").await;
        (status(&answer) == 503).then_some(answer)
    })
    .await;
    assert!(refused.contains("retry-after: ") && refused.contains(r#""code":"overloaded""#), "{refused}");
    let mut stopped = 0;
    for looping in &mut loops {
        stopped += u32::from(status(&looping.to_end().await) == 500);
    }
    assert_eq!(stopped, 1, "one had the instance");
    assert!(host.get("/").await.contains("hello"), "the instance is free again");
}

#[tokio::test]
async fn hosts_that_the_manifest_does_not_name_are_not_called() {
    let canary = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let address = canary.local_addr().unwrap();
    let host = Host::start("allowed_outbound_hosts = [\"http://127.0.0.1:1\"]", &NO_REDIS).await;
    let denied = host.get(&format!("/fetch?http://{address}/")).await;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    let denied = host.get(&format!("/redis?redis://{address}")).await;
    assert!(denied.contains("InvalidAddress"), "{denied}");
    assert!(canary.accept().is_err(), "nobody connected");
    let refused = host.get("/fetch?http://127.0.0.1:1/").await;
    assert!(refused.contains("ConnectionRefused"), "{refused}");
}

#[tokio::test]
async fn redis_is_reached_where_the_command_line_says() {
    let server = Server::start();
    for mode in ["per-open", "shared"] {
        let host = Host::start("", &["--redis", &server.url(), "--redis-connection", mode]).await;
        for _ in 0..2 {
            let answer = host.get(&format!("/redis?{}", server.url())).await;
            assert!(answer.contains("PONG"), "{mode}: {answer}");
        }
    }
}

#[tokio::test]
async fn variables_and_printed_lines_pass_the_border() {
    let host = host().await;
    for (name, value) in
        [("known", "of the manifest"), ("redis_url", "redis://127.0.0.1:1"), ("other", "Undefined")]
    {
        let answer = host.get(&format!("/variable?{name}")).await;
        assert!(answer.contains(value), "{name}: {answer}");
    }
    host.get("/print?canary-line").await;
    weir_native_tests::wait::until("the line", async || {
        host.program.stderr.text().contains("canary-line").then_some(())
    })
    .await;
}
