//! Upstreams behind TLS: who is trusted, and which protocol is spoken.

use http::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weir_native_tests::secure::Secure;
use weir_native_tests::{Gateway, Launch};

const CREDENTIAL: &str = "sk-canary-behind-tls-81f3";

async fn serving(upstream: &Secure, trusted: &Secure) -> Gateway {
    let document = format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"https://{}/v1\"\n\
         api_key = {{ env = \"UP_KEY\" }}\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n",
        upstream.address
    );
    let launch = Launch::of(document).env("UP_KEY", CREDENTIAL).arg("--log-level").arg("debug");
    launch.env("SSL_CERT_FILE", trusted.authority.to_str().unwrap()).start().await
}

#[tokio::test]
async fn the_protocol_is_the_one_the_upstream_prefers() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let upstream = Secure::start("127.0.0.1", protocols).await;
        let gateway = serving(&upstream, &upstream).await;
        let answer = gateway.chat("m").await;
        assert_eq!(answer.status, 200, "{protocols:?}: {}", answer.text());
        assert_eq!(gateway.stream("m").await.events().await.last().unwrap(), "[DONE]");
        assert_eq!(upstream.spoken(), [version; 2], "{protocols:?}");
        assert!(!gateway.everything_said().await.contains(CREDENTIAL));
    }
}

#[tokio::test]
async fn who_is_not_trusted_gets_no_request_and_no_credential() {
    let upstream = Secure::start("127.0.0.1", &["h2", "http/1.1"]).await;
    let other = Secure::start("127.0.0.1", &["h2"]).await;
    let misnamed = Secure::start("api.example", &["h2"]).await;
    for (upstream, trusted, why) in [
        (&upstream, &other, "certificate of an unknown issuer"),
        (&misnamed, &misnamed, "certificate not valid for name"),
    ] {
        let gateway = serving(upstream, trusted).await;
        let answer = gateway.chat("m").await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (502, &"upstream_error".into()),
            "{why}"
        );
        assert!(upstream.spoken().is_empty(), "{why}");
        let said = gateway.everything_said().await + &answer.text();
        assert!(!said.contains(CREDENTIAL), "{why}: {said}");
        assert!(!answer.text().contains(why), "{}", answer.text());
        let record = gateway.record().await;
        assert_eq!(record["cause"], format!("up: {why}"), "{record}");
        let ready = gateway.get("/ready").await.json();
        assert_eq!(ready["upstreams"]["up"]["last_unconnected"]["cause"], why, "{ready}");
        let explained = gateway.explained_chat("m").await;
        assert!(explained.header("x-weir-explain").contains(why), "{explained:?}");
        assert!(!answer.text().contains(&upstream.address.to_string()), "{why}: {}", answer.text());
    }
}

/// Connects, and never answers the handshake; refuses; has a name that leads nowhere; speaks no TLS.
#[tokio::test]
async fn what_stands_in_the_way_of_a_connection_is_told_to_the_operator() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let without_tls = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    for (base, cause) in [
        (format!("https://{}/v1", silent.local_addr().unwrap()), "timed out at TLS"),
        (format!("https://{closed}/v1"), "connection refused"),
        ("https://weir.invalid/v1".to_owned(), "name does not resolve"),
        (format!("https://{without_tls}/v1"), "TLS failed"),
    ] {
        let gateway = Gateway::start(format!(
            "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"{base}\"\n\
             timeout = {{ connect = \"1s\" }}\n\
             [[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n",
        ))
        .await;
        let answer = gateway.explained_chat("m").await;
        assert_eq!(answer.status, 502, "{cause}: {}", answer.text());
        assert!(!answer.text().contains(cause), "{}", answer.text());
        assert!(answer.header("x-weir-explain").contains(cause), "{cause}: {answer:?}");
        assert_eq!(gateway.record().await["cause"], format!("up: {cause}"));
        let ready = gateway.get("/ready").await.json();
        assert_eq!(ready["upstreams"]["up"]["last_unconnected"]["cause"], cause, "{ready}");
    }
}
