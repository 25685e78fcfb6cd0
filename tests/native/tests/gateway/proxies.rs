//! Proxies on the way to upstreams: those of the environment, and those of the document.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use weir_native_tests::{Gateway, Launch, Upstream, reply};

use weir_native_tests::secure::Secure;

/// What callers of the proxy show it, as a header says it, and what is secret of it.
const USER: &str = "weir:canary-of-a-proxy";
const SHOWN: &str = "Basic d2VpcjpjYW5hcnktb2YtYS1wcm94eQ==";
const PASSWORD: &str = "canary-of-a-proxy";
const CREDENTIAL: &str = "sk-canary-behind-a-proxy-22c7";

/// What a proxy does with whoever connects.
#[derive(Clone, Copy)]
enum Does {
    /// Connects them with this, whatever they asked for.
    Connects(SocketAddr),
    Answers(&'static str),
    /// Says yes, and nothing more.
    Pretends,
    IsSilent,
}

/// A proxy that keeps the heads of what it is asked.
struct Egress {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Egress {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, does, Arc::clone(&kept)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn pass(mut client: TcpStream, does: Does, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    heads.lock().unwrap().push(String::from_utf8(head).unwrap());
    let yes = b"HTTP/1.1 200 Connection established\r\nproxy-agent: egress\r\n\r\n";
    match does {
        Does::Connects(to) => {
            let mut server = TcpStream::connect(to).await.unwrap();
            client.write_all(yes).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        Does::Answers(text) => {
            let _ = client.write_all(text.as_bytes()).await;
        }
        Does::Pretends => {
            client.write_all(yes).await.unwrap();
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
        Does::IsSilent => {
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
    }
}

/// One worker, as each has connections of its own.
fn document(base: &str, more: &str) -> String {
    format!(
        "auth = \"open\"\nserver = {{ workers = 1 }}\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"{base}\"\n\
         api_key = {{ env = \"UP_KEY\" }}\ntimeout = {{ connect = \"2s\" }}\n{more}\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n",
    )
}

fn launch(document: String) -> Launch {
    Launch::of(document).env("UP_KEY", CREDENTIAL).arg("--log-level").arg("debug")
}

/// Names no proxy's password, and not what is shown in its place.
async fn assert_clean(gateway: &Gateway, more: &str) {
    let said = gateway.everything_said().await + more;
    for secret in [PASSWORD, SHOWN, &SHOWN[6..], CREDENTIAL] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}

/// The proxy that the log says an upstream is reached through, and the variable that names it.
fn told(gateway: &Gateway) -> Vec<(String, String)> {
    let mut lines = gateway.logs();
    lines.retain(|line| line["message"] == "calls go through a proxy" && line["upstream"] == "up");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| (text(&line["proxy"]), text(&line["variable"]))).collect()
}

#[tokio::test]
async fn an_upstream_with_tls_is_reached_by_a_tunnel() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let upstream = Secure::start("api.example", protocols).await;
        let egress = Egress::start(Does::Connects(upstream.address)).await;
        let gateway = launch(document("https://api.example:8443/v1", ""))
            .env("SSL_CERT_FILE", upstream.authority.to_str().unwrap())
            .env("HTTPS_PROXY", &format!("http://{USER}@{}", egress.address))
            .start()
            .await;
        for _ in 0..3 {
            let answer = gateway.explained_chat("m").await;
            assert_eq!(answer.status, 200, "{protocols:?}: {}", answer.text());
            assert_clean(&gateway, answer.header("x-weir-explain")).await;
        }
        assert_eq!(gateway.stream("m").await.events().await.last().unwrap(), "[DONE]");
        // One connection for all of them.
        let [head] = egress.heads().try_into().unwrap();
        assert!(head.starts_with("CONNECT api.example:8443 HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("host: api.example:8443\r\n"), "{head}");
        assert!(head.contains(&format!("proxy-authorization: {}\r\n", SHOWN.to_ascii_lowercase())), "{head}");
        assert!(!head.contains(CREDENTIAL), "{head}");
        for had in upstream.had() {
            assert_eq!(had.headers["authorization"], format!("Bearer {CREDENTIAL}"));
            assert!(!had.headers.contains_key("proxy-authorization"), "{:?}", had.headers);
        }
        let through = (format!("http://{}", egress.address), "HTTPS_PROXY".to_owned());
        assert_eq!(told(&gateway), [through]);
    }
}

#[tokio::test]
async fn an_upstream_without_tls_is_asked_for_in_absolute_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy");
    for form in ["environment", "variable", "file"] {
        let egress = Upstream::start(|_| vec![reply::completion("hi")]).await;
        let address = format!("http://{USER}@{}", egress.address);
        std::fs::write(&file, &address).unwrap();
        let (more, variable) = match form {
            "environment" => (String::new(), "http_proxy"),
            "variable" => ("proxy = { env = \"EGRESS\" }".to_owned(), "EGRESS"),
            _ => (format!("proxy = {{ file = \"{}\" }}", file.display()), "UNUSED"),
        };
        let base = "http://api.example:8080/v1";
        let gateway = launch(document(base, &more)).env(variable, &address).start().await;
        let answer = gateway.explained_chat("m").await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.text());
        let seen = &egress.seen()[0];
        assert_eq!(seen.target, "http://api.example:8080/v1/chat/completions", "{form}");
        assert_eq!(seen.header("host"), Some("api.example:8080"), "{form}");
        assert_eq!(seen.header("proxy-authorization"), Some(SHOWN), "{form}");
        let named = if form == "environment" { "http_proxy" } else { "" };
        assert_eq!(told(&gateway), [(format!("http://{}", egress.address), named.to_owned())], "{form}");
        assert_clean(&gateway, answer.header("x-weir-explain")).await;
    }
}

#[tokio::test]
async fn what_is_exempt_goes_past_the_proxy() {
    for (more, exempt) in [("", "10.0.0.0/8, 127.0.0.0/8"), ("", "*"), ("proxy = \"none\"", "")] {
        let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
        let egress = Egress::start(Does::IsSilent).await;
        let gateway = launch(document(&upstream.base(), more))
            .env("ALL_PROXY", &format!("http://{}", egress.address))
            .env("NO_PROXY", exempt)
            .start()
            .await;
        assert_eq!(gateway.chat("m").await.status, 200, "{more} {exempt}");
        assert_eq!(upstream.seen()[0].target, "/v1/chat/completions");
        assert!(egress.heads().is_empty() && told(&gateway).is_empty(), "{more} {exempt}");
    }
}

/// An upstream that shares its address with others shares no connection with them that goes another way.
#[tokio::test]
async fn each_way_has_connections_of_its_own() {
    let upstream = Upstream::start(|_| vec![reply::completion("directly")]).await;
    let first = Upstream::start(|_| vec![reply::completion("first")]).await;
    let second = Upstream::start(|_| vec![reply::completion("second")]).await;
    let led = |name: &str, proxy: &str| {
        format!(
            "[upstream.{name}]\ndialect = \"openai\"\nbase_url = \"{}\"\nproxy = \"{proxy}\"\n\
             [[route]]\nmodel = \"{name}\"\nto = [\"{name}\"]\n",
            upstream.base()
        )
    };
    let through = |name: &str, of: &Upstream| led(name, &format!("http://{}", of.address));
    let tables = [led("directly", "none"), through("first", &first), through("second", &second)];
    let document = format!("auth = \"open\"\nserver = {{ workers = 1 }}\n{}", tables.concat());
    let gateway = Gateway::start(document).await;
    for _ in 0..3 {
        for name in ["first", "directly", "second"] {
            let answer = gateway.chat(name).await;
            assert_eq!(answer.json()["choices"][0]["message"]["content"], name, "{}", answer.text());
        }
    }
    for one in [&upstream, &first, &second] {
        assert_eq!((one.seen().len(), one.connections()), (3, 1));
    }
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_to_the_operator() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = Egress { address: closed, heads: Arc::default() };
    let with = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nno!\n").leak();
    let of = async |does| Egress::start(does).await;
    for (label, egress, scheme, cause) in [
        ("407", of(Does::Answers(with("407 Who"))).await, "http", "proxy refuses the credentials"),
        ("502", of(Does::Answers(with("502 Bad Gateway"))).await, "http", "proxy refuses to connect"),
        ("403", of(Does::Answers(with("403 Forbidden"))).await, "http", "proxy refuses to connect"),
        ("nothing", of(Does::Answers("")).await, "http", "proxy refuses to connect"),
        ("no HTTP", of(Does::Answers("SSH-2.0-OpenSSH\r\n")).await, "http", "proxy refuses to connect"),
        ("silence", of(Does::IsSilent).await, "http", "timed out at the proxy"),
        ("silence behind it", of(Does::Pretends).await, "http", "timed out at TLS"),
        ("nobody", closed, "http", "proxy cannot be reached"),
        ("no TLS", of(Does::Answers("HTTP/1.1 400 Bad\r\n\r\n")).await, "https", "timed out at the proxy"),
        ("another kind", of(Does::IsSilent).await, "socks5h", "proxy of an unsupported kind"),
    ] {
        let gateway = launch(document("https://api.example/v1", ""))
            .env("ALL_PROXY", &format!("{scheme}://{USER}@{}", egress.address))
            .start()
            .await;
        let answer = gateway.explained_chat("m").await;
        assert_eq!(answer.status, 502, "{label}: {}", answer.text());
        assert!(!answer.text().contains("proxy"), "{label}: {}", answer.text());
        assert_eq!(gateway.record().await["cause"], format!("up: {cause}"), "{label}");
        assert!(answer.header("x-weir-explain").contains(cause), "{label}: {answer:?}");
        let ready = gateway.get("/ready").await.json();
        assert_eq!(ready["upstreams"]["up"]["last_unconnected"]["cause"], cause, "{label}: {ready}");
        assert_clean(&gateway, answer.header("x-weir-explain")).await;
    }
}

/// A proxy that reads requests says with an answer that it does not know who asks.
#[tokio::test]
async fn a_proxy_that_wants_another_credential_is_no_answer_of_the_upstream() {
    let quoting = |seen: &weir_native_tests::Seen| {
        let quoted = seen.header("proxy-authorization").unwrap_or_default();
        vec![reply::error("407 Proxy Authentication Required", quoted)]
    };
    let egress = Upstream::start(quoting).await;
    let gateway = launch(document("http://api.example/v1", ""))
        .env("HTTP_PROXY", &format!("http://{USER}@{}", egress.address))
        .start()
        .await;
    let answer = gateway.explained_chat("m").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(gateway.record().await["cause"], "up: proxy refuses the credentials");
    assert_clean(&gateway, &answer.text()).await;
}

/// In a CGI program `HTTP_PROXY` is a header of whoever calls.
#[tokio::test]
async fn a_variable_that_a_caller_may_have_set_is_not_heeded() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let egress = Egress::start(Does::IsSilent).await;
    let gateway = launch(document(&upstream.base(), ""))
        .env("HTTP_PROXY", &format!("http://{}", egress.address))
        .env("REQUEST_METHOD", "GET")
        .start()
        .await;
    assert_eq!(gateway.chat("m").await.status, 200);
    assert!(egress.heads().is_empty());
}

/// TLS to the proxy, and TLS to the upstream within it.
#[tokio::test]
async fn a_proxy_may_be_spoken_to_by_tls() {
    let upstream = Secure::start("api.example", &["h2"]).await;
    let egress = Egress::start(Does::Connects(upstream.address)).await;
    let front = weir_native_tests::secure::front("127.0.0.1", egress.address).await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    let authorities = std::fs::read_to_string(&upstream.authority).unwrap() + &front.authority;
    std::fs::write(&bundle, authorities).unwrap();
    let gateway = launch(document("https://api.example/v1", ""))
        .env("SSL_CERT_FILE", bundle.to_str().unwrap())
        .env("HTTPS_PROXY", &format!("https://{}", front.address))
        .start()
        .await;
    let answer = gateway.chat("m").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(egress.heads()[0].starts_with("CONNECT api.example:443 "), "{:?}", egress.heads());
}
