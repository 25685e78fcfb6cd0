//! Upstreams behind TLS: who is trusted, and which protocol is spoken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weir_native_tests::{Gateway, Launch};

const CREDENTIAL: &str = "sk-canary-behind-tls-81f3";

/// An upstream with a certificate of its own authority.
struct Secure {
    address: SocketAddr,
    /// The authority's certificate.
    authority: PathBuf,
    spoken: Arc<Mutex<Vec<Version>>>,
    _folder: TempDir,
}

/// A key and a certificate for `name`, and the authority's certificate in PEM.
fn certified(name: &str) -> (ServerConfig, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    // Two of the same name would be taken for one whose signature is wrong.
    let own = format!("authority {:?}", key.public_key_raw());
    params.distinguished_name.push(DnType::CommonName, own);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap(), authority)
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let is_streamed = String::from_utf8_lossy(&body).contains("\"stream\":true");
    let (kind, text) = if is_streamed {
        let event = weir_native_tests::reply::event("hi");
        ("text/event-stream", format!("{event}{}data: [DONE]\n\n", weir_native_tests::reply::finish()))
    } else {
        let message = r#"{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}"#;
        ("application/json", format!(r#"{{"object":"chat.completion","choices":[{message}]}}"#))
    };
    Response::builder().header("content-type", kind).body(text.into()).unwrap()
}

impl Secure {
    async fn start(name: &str, protocols: &[&str]) -> Self {
        let (mut config, authority) = certified(name);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.pem");
        std::fs::write(&path, authority).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let spoken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spoken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        kept.lock().unwrap().push(request.version());
                        async { Ok::<_, Infallible>(answer(request).await) }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, authority: path, spoken, _folder: folder }
    }

    async fn gateway(&self, trusted: &Self) -> Gateway {
        let document = format!(
            "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"https://{}/v1\"\n\
             api_key = {{ env = \"UP_KEY\" }}\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n",
            self.address
        );
        let launch = Launch::of(document).env("UP_KEY", CREDENTIAL).arg("--log-level").arg("debug");
        launch.env("SSL_CERT_FILE", trusted.authority.to_str().unwrap()).start().await
    }

    fn spoken(&self) -> Vec<Version> {
        self.spoken.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn the_protocol_is_the_one_the_upstream_prefers() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let upstream = Secure::start("127.0.0.1", protocols).await;
        let gateway = upstream.gateway(&upstream).await;
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
        let gateway = upstream.gateway(trusted).await;
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
