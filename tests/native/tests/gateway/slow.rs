//! Clients that take their time, on purpose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use tokio::net::TcpStream;
use weir_native_tests::wait::{holds, until, until_within, within};
use weir_native_tests::{Act, Gateway, Raw, SIMULATED, Upstream, chat_body, chat_request, reply, status};

/// Bounds are 300 ms or 1 s here; more than this is not bounded.
const SOON: Duration = Duration::from_secs(6);

const HEAD: &str =
    "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";

async fn impatient() -> Gateway {
    let server = "\n[server]\nheader_timeout = \"300ms\"\nbody_timeout = \"1s\"\n";
    Gateway::start(format!("{SIMULATED}{server}")).await
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_closed() {
    let gateway = impatient().await;
    for (name, part) in [
        ("nothing", ""),
        ("a letter", "G"),
        ("half a head", "GET /health HTTP/1.1\r\nhost: 127"),
        ("half a preface", "PRI * HTTP/2.0\r\n"),
        ("a preface and no more", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(part).await;
        let started = Instant::now();
        let closed = tokio::time::timeout(SOON, raw.to_end()).await;
        assert!(closed.is_ok(), "{name}: open after {:?}", started.elapsed());
    }
    assert_eq!(gateway.get("/health").await.status, 200);
}

/// Each byte comes in time, the head never does.
#[tokio::test]
async fn a_head_that_drips_is_closed_as_well() {
    let gateway = impatient().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send("GET /health HTTP/1.1\r\n").await;
    let dripping = async {
        while raw.send("x").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, dripping).await.is_ok(), "it may drip on");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let gateway = impatient().await;
    for body in ["", "{\"model\":"] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(format!("{HEAD}content-length: 1000\r\n\r\n{body}")).await;
        let answer = raw.to_end_within(SOON).await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(answer.contains("request_timeout"), "{answer}");
    }
    gateway.until_idle().await;
}

#[tokio::test]
async fn a_body_that_drips_is_a_408_as_well() {
    let gateway = impatient().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(format!("{HEAD}content-length: 100000\r\n\r\n")).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        raw.send("x").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status(&raw.to_end_within(SOON).await), 408);
}

/// What is passed on as it comes is bounded like what is read first.
#[tokio::test]
async fn an_upload_that_falls_silent_is_given_up() {
    let gateway = impatient().await;
    let mut raw = Raw::connect(gateway.address).await;
    let head = HEAD.replace("chat/completions", "files").replace("application/json", "text/plain");
    raw.send(format!("{head}content-length: 1000\r\n\r\nhello")).await;
    let closed = tokio::time::timeout(SOON, raw.to_end()).await;
    assert!(closed.is_ok(), "open after {SOON:?}");
    gateway.until_idle().await;
}

/// A stream without end, of events that each are legal.
async fn flood() -> Upstream {
    let event: Bytes = reply::chunk(&reply::event(&"a".repeat(16 * 1024)));
    Upstream::start(move |_| vec![reply::stream_head(), Act::Flood(event.clone())]).await
}

fn streamed_call() -> serde_json::Value {
    let mut body = chat_body("m");
    body["stream"] = true.into();
    body
}

/// Invariant 10: what nobody reads is not kept, and the upstream is let go.
#[tokio::test]
async fn a_reader_that_reads_nothing_costs_little_and_is_given_up() {
    let upstream = flood().await;
    let gateway = Gateway::start(upstream.document("[server]\nbody_timeout = \"1s\"")).await;
    let before = gateway.program.resident();
    let body = streamed_call().to_string();
    let mut readers = Vec::new();
    for number in 0..10 {
        let mut raw = Raw::connect(gateway.address).await;
        // Half of them have begun their next request, which must not change how much is kept.
        let next = if number % 2 == 0 { "GET" } else { "" };
        raw.send(format!("{HEAD}content-length: {}\r\n\r\n{body}{next}", body.len())).await;
        readers.push(raw);
    }
    upstream.until_seen(readers.len()).await;
    let mut most = before;
    // The sockets in between take megabytes before they are full.
    until("the upstream's calls are cancelled", async || {
        most = most.max(gateway.program.resident());
        holds(upstream.gone() == readers.len())
    })
    .await;
    let each = (most - before) / readers.len() as u64;
    assert!(each < 2 << 20, "{each} bytes for each reader");
    let records = gateway.until_records(readers.len()).await;
    assert!(records.iter().all(|record| record["ending"] == "client_gone"), "{records:?}");
    gateway.until_idle().await;
}

/// HTTP/2 has its own flow control: the socket takes everything, the stream takes nothing.
#[tokio::test]
async fn a_reader_of_http_2_that_reads_nothing_is_given_up_as_well() {
    let upstream = flood().await;
    let gateway = Gateway::start(upstream.document("[server]\nbody_timeout = \"1s\"")).await;
    let mut request = chat_request(&streamed_call());
    *request.version_mut() = Version::HTTP_2;
    let flow = gateway.flow(request).await;
    until_within(SOON, "the upstream's call is cancelled", async || holds(upstream.gone() == 1)).await;
    drop(flow);
}

/// Whole answers, of which not one byte is taken: nobody keeps them, each stream is reset, and the connection serves on.
#[tokio::test]
async fn answers_that_nobody_reads_of_http_2_are_let_go_and_their_streams_reset() {
    const STREAMS: usize = 100;
    let upstream = Upstream::start(|_| vec![reply::completion(&"a".repeat(2 << 20))]).await;
    let gateway = Gateway::start(upstream.document("[server]\nbody_timeout = \"1s\"")).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (mut client, connection) =
        builder.initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = async |client: &mut h2::client::SendRequest<Bytes>| {
        let mut request = chat_request(&chat_body("m")).map(|_| ());
        let uri = format!("http://{}{}", gateway.address, request.uri().path());
        *request.uri_mut() = uri.parse().unwrap();
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(http::header::CONTENT_LENGTH);
        let (answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from(chat_body("m").to_string()), true).unwrap();
        answer.await.unwrap().into_body()
    };
    let before = gateway.program.resident();
    let mut answers = Vec::new();
    for _ in 0..STREAMS {
        answers.push(ask(&mut client).await);
    }
    // The first are let go before the last have come; how many there are at a time depends on the machine.
    let held = gateway.program.resident().saturating_sub(before);
    assert!(held < (STREAMS as u64) << 20, "{held} bytes for {STREAMS} answers of 2 MiB");
    let resets = answers.into_iter().map(async |mut answer| {
        loop {
            if let Err(error) = answer.data().await.expect("it is not whole") {
                return error.reason();
            }
        }
    });
    let resets = within(SOON, "the resets", futures_util::future::join_all(resets)).await;
    assert_eq!(resets, [Some(h2::Reason::CANCEL); STREAMS]);
    gateway.until_idle().await;
    drop(ask(&mut client).await);
    connection.abort();
}

/// Slow is not silent: who reads on is served on.
#[tokio::test]
async fn a_reader_that_is_slow_gets_everything() {
    let text = Arc::new("a".repeat(64 * 1024));
    let upstream = Upstream::start(move |_| {
        let mut acts = vec![reply::stream_head()];
        acts.extend((0..200).map(|_| reply::content(&text)));
        acts.push(reply::farewell());
        acts
    })
    .await;
    let gateway = Gateway::start(upstream.document("[server]\nbody_timeout = \"1s\"")).await;
    let mut flow = gateway.flow(chat_request(&streamed_call())).await;
    let mut count = 0;
    let last = loop {
        let event = flow.event().await.expect("more");
        if event == "[DONE]" {
            break event;
        }
        count += 1;
        if count % 40 == 0 {
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
    };
    assert_eq!((count, last.as_str()), (201, "[DONE]"));
    until("its record", async || gateway.records().first().cloned()).await;
}
