//! Clients that leave.

use std::time::Duration;

use http::Version;
use weir_native_tests::wait::{holds, until_within};
use weir_native_tests::{Act, Gateway, Raw, Upstream, chat_body, chat_bytes, chat_request, reply};

/// In which an upstream must learn that nobody reads it any more.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn until_gone(upstream: &Upstream) {
    until_within(AT_ONCE, "the upstream's call is cancelled", async || holds(upstream.gone() == 1)).await;
}

/// A streamed call as bytes.
fn call() -> String {
    let mut body = chat_body("m");
    body["stream"] = true.into();
    chat_bytes(&body, "")
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_the_call() {
    for leave in [Leave::Close, Leave::Reset] {
        let upstream = Upstream::start(|_| vec![Act::UntilGone]).await;
        let gateway = Gateway::start(upstream.document("")).await;
        let mut client = Raw::connect(gateway.address).await;
        client.send(call()).await;
        upstream.until_seen(1).await;
        match leave {
            Leave::Close => drop(client),
            Leave::Reset => client.reset(),
        }
        until_gone(&upstream).await;
        let record = gateway.record().await;
        assert_eq!(
            (&record["ending"], &record["usage"]),
            (&"client_gone".into(), &"nothing".into()),
            "{leave:?}"
        );
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_cancels_the_call() {
    for leave in [Leave::Close, Leave::Reset] {
        let upstream =
            Upstream::start(|_| vec![reply::stream_head(), reply::content("one"), Act::UntilGone]).await;
        let gateway = Gateway::start(upstream.document("")).await;
        let mut client = Raw::connect(gateway.address).await;
        client.send(call()).await;
        client.read_until("one").await;
        match leave {
            Leave::Close => drop(client),
            Leave::Reset => client.reset(),
        }
        until_gone(&upstream).await;
        let record = gateway.record().await;
        assert_eq!(record["ending"], "client_gone", "{leave:?}");
        // Nobody reported; one event was counted.
        assert_eq!((&record["usage"], &record["output_tokens"]), (&"counted".into(), &1.into()));
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn a_client_of_http_2_that_leaves_its_stream_cancels_the_call() {
    let upstream =
        Upstream::start(|_| vec![reply::stream_head(), reply::content("one"), Act::UntilGone]).await;
    let gateway = Gateway::start(upstream.document("")).await;
    let mut body = chat_body("m");
    body["stream"] = true.into();
    let mut request = chat_request(&body);
    *request.version_mut() = Version::HTTP_2;
    let mut flow = gateway.flow(request).await;
    assert!(flow.event().await.is_some());
    drop(flow);
    until_gone(&upstream).await;
    assert_eq!(gateway.record().await["ending"], "client_gone");
}

/// An upload that breaks off must not look complete to the upstream.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_breaks_the_upstreams_request() {
    let upstream = Upstream::start(|_| vec![reply::json("200 OK", &serde_json::json!({}))]).await;
    let gateway = Gateway::start(upstream.document("")).await;
    let mut client = Raw::connect(gateway.address).await;
    let head = "POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n";
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")).await;
    until_within(AT_ONCE, "the upload has begun", async || holds(upstream.open() == 1)).await;
    drop(client);
    until_within(AT_ONCE, "the upload is given up", async || holds(upstream.open() == 0)).await;
    assert!(upstream.seen().is_empty(), "half an upload was taken as a whole one");
    assert_eq!(gateway.record().await["ending"], "client_gone");
}

/// What clients do is no fault of the upstream's: it must stay in use for the others.
#[tokio::test]
async fn clients_that_break_off_their_uploads_open_no_breaker() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let document = upstream.document("").replace("consecutive = 100000", "consecutive = 3");
    let gateway = Gateway::start(document).await;
    for count in 1..=4 {
        let mut client = Raw::connect(gateway.address).await;
        let head = "POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n";
        client.send(format!("{head}content-length: 100\r\n\r\nhello")).await;
        gateway
            .until_metrics("the upload is at the upstream", |metrics| {
                metrics.sum("weir_upstream_in_flight", &[]) > 0.5
            })
            .await;
        drop(client);
        gateway.until_records(count).await;
    }
    let answer = gateway.chat("m").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn finish_reads_on_for_the_reported_usage() {
    let upstream = Upstream::start(|_| {
        let mut acts = vec![reply::stream_head(), reply::content("one")];
        for _ in 0..15 {
            acts.extend([Act::Pause(Duration::from_millis(20)), reply::content("more")]);
        }
        acts.push(reply::farewell());
        acts
    })
    .await;
    let document =
        upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\non_disconnect = \"finish\"");
    let gateway = Gateway::start(document).await;
    let mut client = Raw::connect(gateway.address).await;
    client.send(call()).await;
    client.read_until("one").await;
    client.reset();
    let record = gateway.record().await;
    assert_eq!((&record["ending"], &record["usage"]), (&"client_gone".into(), &"reported".into()));
    assert_eq!((&record["input_tokens"], &record["output_tokens"]), (&11.into(), &22.into()));
    assert_eq!(upstream.gone(), 0);
    gateway.until_idle().await;
}
