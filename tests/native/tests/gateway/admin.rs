//! An operator's orders, over real sockets.

use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Answer, Extra, Gateway, Upstream, hash, reply, whole};

const KEY: &str = "sk-admin-canary-4f1d7c2e90ab";
const CALLER: &str = "sk-caller-canary-77ab01";
const BREAKERS: &str = "/admin/v1/breakers";

async fn upstreams() -> (Upstream, Upstream) {
    let says = async |text: &'static str| Upstream::start(move |_| vec![reply::completion(text)]).await;
    (says("first").await, says("spare").await)
}

fn document(first: &Upstream, spare: &Upstream, tables: &str) -> String {
    let base = spare.base();
    first.document_with(&Extra {
        route: "fallback = [\"spare\"]",
        tables: &format!("[upstream.spare]\ndialect = \"openai\"\nbase_url = \"{base}\"\n{tables}"),
        ..Extra::default()
    })
}

fn admin() -> String {
    format!("[admin]\nhash = \"{}\"\n", hash(KEY))
}

/// One request of a client that sends what it likes.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: &'a str,
}

async fn send(gateway: &Gateway, asked: Asked<'_>) -> Answer {
    let mut request = Request::builder().method(asked.method).uri(asked.path);
    for (name, value) in asked.headers {
        request = request.header(*name, *value);
    }
    gateway.send(request.body(whole(asked.body.to_owned())).unwrap()).await
}

async fn list(gateway: &Gateway) -> Value {
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str())];
    let answer =
        send(gateway, Asked { method: Method::GET, path: BREAKERS, headers: &headers, body: "" }).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn order(gateway: &Gateway, breaker: &str, order: Value) -> Answer {
    let (bearer, path) = (format!("Bearer {KEY}"), format!("{BREAKERS}/{breaker}"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = order.to_string();
    send(gateway, Asked { method: Method::PUT, path: &path, headers: &headers, body: &body }).await
}

fn state(list: &Value, name: &str) -> Value {
    let breakers = list["data"].as_array().unwrap().iter();
    breakers.filter(|breaker| breaker["name"] == name).map(|breaker| breaker["state"].clone()).collect()
}

#[tokio::test]
async fn what_is_held_open_is_not_asked_by_any_thread_until_it_is_released() {
    let (first, spare) = upstreams().await;
    let tables = admin() + "[server]\nworkers = 4\n";
    let gateway = Gateway::start(document(&first, &spare, &tables)).await;
    assert!(gateway.chat("m").await.text().contains("first"));
    let taken = order(&gateway, "up", json!({"state": "open", "for": "10m"})).await;
    assert_eq!((taken.status, &taken.json()["state"]), (200, &"open".into()), "{}", taken.text());
    assert_eq!(state(&list(&gateway).await, "up"), json!(["open"]));
    let asked = first.seen().len();
    for answer in futures_util::future::join_all((0..16).map(|_| gateway.chat("m"))).await {
        assert!(answer.text().contains("spare"), "{}: {}", answer.status, answer.text());
    }
    assert_eq!(order(&gateway, "spare", json!({"state": "open"})).await.status, 200);
    let refused = gateway.chat("m").await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &"circuit_open".into()));
    assert_eq!(first.seen().len(), asked);
    assert_eq!(gateway.get("/ready").await.json()["upstreams"]["up"]["override"], "open");
    for breaker in ["up", "spare"] {
        assert_eq!(order(&gateway, breaker, json!({"state": "auto"})).await.status, 200);
    }
    assert!(gateway.chat("m").await.text().contains("first"));
    let metrics = gateway.metrics().await;
    assert!((metrics.sum("weir_orders_total", &["upstream=\"up\""]) - 2.0).abs() < 0.1, "{}", metrics.0);
    // A line is written before it is answered, and read when it comes.
    let traces = |line: &Value| line["message"] == "a breaker was ordered";
    until("four orders in the log", async || {
        holds(gateway.logs().iter().filter(|line| traces(line)).count() == 4)
    })
    .await;
}

/// Keys, of whatever kind, are nowhere to be found.
#[tokio::test]
async fn nobody_else_reaches_it_and_no_key_is_told() {
    let (first, spare) = upstreams().await;
    let keys = format!("[key.caller]\nhash = \"{}\"\n", hash(CALLER));
    let gateway = Gateway::start(document(&first, &spare, &(admin() + &keys))).await;
    let bearer = |key: &str| format!("Bearer {key}");
    let (wrong, caller, right) = (bearer("sk-canary-wrong"), bearer(CALLER), bearer(KEY));
    let query = format!("{BREAKERS}?api_key={KEY}");
    let json = ("content-type", "application/json");
    let one = format!("{BREAKERS}/up");
    let mut said = Vec::new();
    for (path, headers) in [
        (BREAKERS, &[json][..]),
        (BREAKERS, &[json, ("authorization", wrong.as_str())]),
        (BREAKERS, &[json, ("authorization", caller.as_str())]),
        (BREAKERS, &[json, ("api-key", KEY)]),
        (BREAKERS, &[json, ("x-api-key", KEY)]),
        (BREAKERS, &[json, ("authorization", right.as_str()), ("authorization", caller.as_str())]),
        (&query, &[json, ("authorization", right.as_str())]),
    ] {
        for (method, path, body) in [
            (Method::GET, path.to_owned(), ""),
            (Method::PUT, path.replace(BREAKERS, &one), r#"{"state":"open"}"#),
            (Method::POST, path.replace(BREAKERS, &one), r#"{"state":"open"}"#),
        ] {
            let asked = Asked { method: method.clone(), path: &path, headers, body };
            let answer = send(&gateway, asked).await;
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}: {}", answer.text());
            said.push(format!("{:?} {}", answer.headers, answer.text()));
        }
    }
    // Nor is it a caller's key.
    let headers = [("authorization", right.as_str())];
    let asked = Asked { method: Method::GET, path: "/v1/models", headers: &headers, body: "" };
    let answer = send(&gateway, asked).await;
    assert_eq!(answer.status, 401);
    said.push(answer.text());
    assert_eq!(state(&list(&gateway).await, "up"), json!(["closed"]));
    order(&gateway, "up", json!({"state": "open"})).await;
    said.push(gateway.everything_said().await);
    let said = said.join("\n");
    for canary in ["canary", KEY, CALLER, &hash(KEY)] {
        assert!(!said.contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn without_its_table_there_is_nothing_there_and_a_reload_changes_that() {
    let (first, spare) = upstreams().await;
    let gateway = Gateway::start(document(&first, &spare, "")).await;
    assert_eq!(order(&gateway, "up", json!({"state": "open"})).await.status, 404);
    std::fs::write(&gateway.file, document(&first, &spare, &admin())).unwrap();
    gateway.until_metrics("the reload", |metrics| metrics.sum("weir_config_reloads_total", &[]) > 0.5).await;
    assert_eq!(order(&gateway, "up", json!({"state": "open"})).await.status, 200);
    assert!(gateway.chat("m").await.text().contains("spare"));
    std::fs::write(&gateway.file, document(&first, &spare, "# nobody\n")).unwrap();
    gateway.until_metrics("the reload", |metrics| metrics.sum("weir_config_reloads_total", &[]) > 1.5).await;
    assert_eq!(order(&gateway, "up", json!({"state": "auto"})).await.status, 404);
    assert!(gateway.chat("m").await.text().contains("spare"), "what was ordered holds on");
}

fn allows_nothing(headers: &HeaderMap) -> bool {
    !headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

/// Even a page that knows the key.
#[tokio::test]
async fn a_web_page_gives_no_orders() {
    let (first, spare) = upstreams().await;
    let gateway = Gateway::start(document(&first, &spare, &admin())).await;
    let (path, right) = (format!("{BREAKERS}/up"), format!("Bearer {KEY}"));
    let key = ("authorization", right.as_str());
    let origin = ("origin", "https://evil.example");
    let body = r#"{"state":"open"}"#;
    // What a page may send without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = [key, origin, ("content-type", kind)];
        let asked = Asked { method: Method::POST, path: &path, headers: &headers, body };
        let answer = send(&gateway, asked).await;
        assert_eq!(answer.status, 403, "{kind}");
        assert!(allows_nothing(&answer.headers), "{kind}");
    }
    // It asks first.
    let headers = [
        origin,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let asked = Asked { method: Method::OPTIONS, path: &path, headers: &headers, body: "" };
    let answer = send(&gateway, asked).await;
    assert!(
        answer.status >= 400 && allows_nothing(&answer.headers),
        "{}: {:?}",
        answer.status,
        answer.headers
    );
    // Its name leads to this machine.
    let headers = [key, ("host", "evil.example"), ("content-type", "application/json")];
    let asked = Asked { method: Method::PUT, path: &path, headers: &headers, body };
    assert_eq!(send(&gateway, asked).await.status, 403);
    assert_eq!(state(&list(&gateway).await, "up"), json!(["closed"]));
}
