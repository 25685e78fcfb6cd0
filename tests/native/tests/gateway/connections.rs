//! Connections: how many there may be, when one that does nothing ends, and which addresses are listened on.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_native_tests::wait::{holds, until, within};
use weir_native_tests::{Gateway, Launch, Raw, SIMULATED, hash, status};

use crate::floods::{frame, request};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn one_address_has_so_many_connections_and_each_that_goes_makes_room() {
    let bounds = "server = { max_connections_per_address = 4, header_timeout = \"60s\" }";
    let gateway = Gateway::start(format!("{bounds}\n{SIMULATED}")).await;
    let mut here = Vec::new();
    // The test's own client holds one, which is kept between its calls.
    let refused = loop {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let line = raw.status_line().await;
        if status(&line) == 503 {
            break raw.to_end().await;
        }
        assert_eq!(status(&line), 200, "{line}");
        here.push(raw);
        assert!(here.len() < 5, "no bound");
    };
    assert!(refused.contains("retry-after") && refused.contains("\"overloaded\""), "{refused}");
    gateway
        .until_metrics("the refusal", |metrics| {
            metrics.sum("weir_connections_refused_total", &["bound=\"address\""]) > 0.5
        })
        .await;
    here.pop();
    until("room", async || {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        holds(status(&raw.status_line().await) == 200)
    })
    .await;
}

/// Balancers keep theirs for a minute and more, and lose what they send on one that is closed in that moment.
#[tokio::test]
async fn a_connection_is_kept_between_two_requests_for_longer_than_a_head_may_take() {
    let server = "server = { header_timeout = \"200ms\", keep_alive = \"2s\" }";
    let gateway = Gateway::start(format!("{server}\n{SIMULATED}")).await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.read_until("\"}").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    raw.send("GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.read_until("404 Not Found").await;
    // A head that has begun has its own time again.
    raw.send("GET /hea").await;
    let began = std::time::Instant::now();
    within(PATIENCE, "the end of the connection", raw.to_end()).await;
    assert!(began.elapsed() < Duration::from_millis(1900), "as if it were idle");
    let mut raw = Raw::connect(gateway.address).await;
    raw.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    within(PATIENCE, "the end of one that is idle", raw.to_end()).await;
}

/// As one of HTTP/1.1 is closed that does nothing.
#[tokio::test]
async fn a_connection_of_http_2_that_does_nothing_is_told_to_go() {
    let gateway = Gateway::start(format!("server = {{ keep_alive = \"400ms\" }}\n{SIMULATED}")).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream.write_all(&request(0)).await.unwrap();
    let mut received = Vec::new();
    let reading = async { while let Ok(1..) = stream.read_buf(&mut received).await {} };
    within(PATIENCE, "the end of the connection", reading).await;
    let (mut rest, mut goodbye) = (&received[..], None);
    while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, behind) = behind.split_at(length);
        goodbye = (*kind == 7).then(|| payload[4..8].to_vec()).or(goodbye);
        rest = behind;
    }
    assert_eq!(goodbye, Some(vec![0; 4]), "GOAWAY, and no error");
}

#[tokio::test]
async fn a_reload_opens_nothing_that_a_start_refuses() {
    let document = |auth: &str| {
        let key = format!("[key.a]\nhash = \"{}\"", hash("sk-a"));
        format!("public = [\"metrics\"]\n{}\n{key}\n", SIMULATED.replace("auth = \"open\"", auth))
    };
    let launch = Launch::of(document("auth = \"keys\"")).listen("0.0.0.0:0");
    let mut gateway = launch.start().await;
    gateway.address.set_ip([127, 0, 0, 1].into());
    assert_eq!(gateway.chat("sim").await.status, 401);
    fs::write(&gateway.file, document("auth = \"open\"\nlisten = \"127.0.0.1:8080\"")).unwrap();
    gateway
        .until_metrics("the refusal", |metrics| {
            metrics.sum("weir_config_reloads_total", &["outcome=\"refused\""]) > 0.5
        })
        .await;
    assert_eq!(gateway.chat("sim").await.status, 401, "the last good one holds");
    let said = gateway.program.stderr.text();
    assert!(said.contains("the address that is bound"), "{said}");
}

#[tokio::test]
async fn operators_have_an_address_of_their_own() {
    let document = format!(
        "public = []\n{}\n[admin]\nlisten = \"127.0.0.1:0\"\n[key.a]\nhash = \"{}\"\n",
        SIMULATED.replace("auth = \"open\"", "auth = \"keys\""),
        hash("sk-a")
    );
    let gateway = Gateway::start(document).await;
    let greeting = gateway.program.stdout.now();
    let told = greeting.iter().find_map(|line| line.strip_prefix("weir: operators at http://"));
    let address: SocketAddr = told.unwrap().split('/').next().unwrap().parse().unwrap();
    let ask = async |address, path: &str| {
        let mut raw = Raw::connect(address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        raw.to_end().await
    };
    for path in ["/ready", "/metrics"] {
        let (seen, shown) = (ask(gateway.address, path).await, ask(address, path).await);
        for detail in ["simulated", "weir_"] {
            assert!(!seen.contains(detail), "{path} tells strangers {detail}: {seen}");
        }
        assert!(shown.contains("simulated") || shown.contains("weir_"), "{path}: {shown}");
        assert_eq!(status(&shown), 200, "{path}");
    }
    assert_eq!(status(&ask(address, "/v1/models").await), 401, "calls want a key there, too");
    assert_eq!(status(&ask(address, "/admin/v1/breakers").await), 404, "and orders the admin's");
}
