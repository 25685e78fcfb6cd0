//! No credential, no caller's key and no prompt in anything the gateway says (invariant 9).

use http::Request;
use serde_json::{Value, json};
use weir_native_tests::{Act, Gateway, Launch, Outgoing, Seen, Upstream, hash, reply, whole};

/// Shown to the upstream.
const CREDENTIAL: &str = "sk-canary-credential-5f0e7a1c93";
/// Shown by the caller.
const KEY: &str = "sk-weir-canarykeycanarykeycanarykey";
const PROMPT: &str = "canary prompt of a river";

fn quoting(seen: &Seen) -> String {
    format!("Incorrect: {}", seen.header("authorization").unwrap_or_default())
}

/// Quotes the credential wherever an upstream can.
fn quote(seen: &Seen) -> Vec<Act> {
    let quoted = quoting(seen);
    let model = serde_json::from_slice::<Value>(&seen.body).unwrap_or_default()["model"].take();
    let model = model.as_str().unwrap_or("file-400").to_owned();
    let status = model.rsplit('-').next().unwrap();
    let status = if status.len() == 3 { format!("{status} Quoted") } else { "200 OK".into() };
    match model.split('-').next().unwrap() {
        "message" => vec![reply::error(&status, &quoted)],
        "fields" => {
            let error =
                json!({"message": quoted, "type": quoted, "param": quoted, "code": quoted, "more": quoted});
            vec![reply::json(&status, &json!({"error": error, "message": quoted}))]
        }
        "string" => vec![reply::json(&status, &json!({"error": quoted}))],
        "detail" => vec![reply::json(&status, &json!({"detail": quoted, "message": quoted}))],
        "page" => vec![reply::response(&status, "text/html", &format!("<html>{quoted}</html>"))],
        "header" => {
            let head = format!("HTTP/1.1 {status}\r\nx-quoted: {quoted}\r\nset-cookie: {quoted}\r\n");
            vec![Act::Send(format!("{head}content-length: 2\r\n\r\n{{}}").into())]
        }
        "file" => vec![reply::error("400 Bad Request", &quoted)],
        "stream" => {
            let event = format!("data: {}\n\n", json!({"error": {"message": quoted, "code": quoted}}));
            vec![reply::stream_head(), reply::content("one"), Act::Send(reply::chunk(&event)), Act::Close]
        }
        _ => vec![reply::completion("hi")],
    }
}

async fn guarded() -> (Upstream, Gateway) {
    let upstream = Upstream::start(quote).await;
    let key = format!("[key.team]\nhash = \"{}\"\npassthrough = [\"**\"]\n", hash(KEY));
    let document = upstream.document("api_key = { env = \"UP_KEY\" }").replace("\"open\"", "\"keys\"") + &key;
    let launch = Launch::of(document).env("UP_KEY", CREDENTIAL).arg("--log-level").arg("debug");
    (upstream, launch.start().await)
}

fn call(path: &str, body: &Value) -> Request<Outgoing> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {KEY}"))
        .header("x-weir-explain", "1")
        .body(whole(body.to_string()))
        .unwrap()
}

fn chat(model: &str) -> Value {
    json!({"model": model, "user": PROMPT, "messages": [{"role": "user", "content": PROMPT}]})
}

#[track_caller]
fn assert_clean(said: &str, by: &str) {
    for secret in [CREDENTIAL, KEY, PROMPT] {
        assert!(!said.contains(secret), "{secret} is in what {by} said:\n{said}");
    }
}

#[tokio::test]
async fn an_upstream_that_quotes_the_credential_does_not_betray_it() {
    let (upstream, gateway) = guarded().await;
    let mut models = vec!["fine".to_owned()];
    for form in ["message", "fields", "string", "detail", "page", "header"] {
        models.extend([400, 401, 403, 404, 409, 422, 429, 500, 503].map(|status| format!("{form}-{status}")));
    }
    for model in &models {
        let answer = gateway.send(call("/v1/chat/completions", &chat(model))).await;
        assert_eq!(answer.status == 200, model == "fine", "{model}: {}", answer.status);
        assert_clean(&format!("{:?} {}", answer.headers, answer.text()), model);
    }
    let mut body = chat("stream");
    body["stream"] = true.into();
    let events = gateway.flow(call("/v1/chat/completions", &body)).await.events().await;
    assert!(events.len() == 2 && events[1].contains("error"), "{events:?}");
    assert_clean(&events.join("\n"), "a stream");
    gateway.until_records(models.len() + 1).await;
    assert_clean(&gateway.everything_said().await, "the gateway");
    for seen in upstream.seen() {
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {CREDENTIAL}").as_str()));
        assert!(!seen.text().contains(KEY), "the caller's key went upstream: {}", seen.text());
    }
}

/// Also where the call itself is not understood.
#[tokio::test]
async fn an_error_of_a_call_that_is_passed_on_does_not_betray_the_credential() {
    let (_upstream, gateway) = guarded().await;
    let answer = gateway.send(call("/v1/files", &json!({"purpose": PROMPT}))).await;
    assert_eq!(answer.status, 400);
    assert_clean(&format!("{:?} {}", answer.headers, answer.text()), "a file's error");
    assert_clean(&gateway.everything_said().await, "the gateway");
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_and_is_in_no_log() {
    let (upstream, gateway) = guarded().await;
    for parameter in ["key", "api_key", "api-key", "access_token", "%6bey"] {
        let target = format!("/v1/chat/completions?{parameter}={KEY}&x={PROMPT}").replace(' ', "%20");
        let answer = gateway.send(call(&target, &chat("fine"))).await;
        assert_eq!(answer.status, 400, "{parameter}: beside one in a header");
        assert_clean(&format!("{:?} {}", answer.headers, answer.text()), parameter);
    }
    assert!(upstream.seen().is_empty());
    assert_clean(&gateway.everything_said().await, "the gateway");
}

#[tokio::test]
async fn what_is_refused_is_not_quoted() {
    let (_upstream, gateway) = guarded().await;
    for (path, body) in [
        ("/v1/chat/completions", format!("{{\"model\":\"fine\",\"messages\":[{PROMPT}]}}")),
        ("/v1/chat/completions", format!("{{\"model\":\"fine\",\"messages\":\"{PROMPT}\"}}")),
        ("/v1/chat/completions", format!("{{\"model\":\"fine\",\"n\":\"{PROMPT}\",\"messages\":[]}}")),
        ("/v1/embeddings", format!("{{\"input\":\"{PROMPT}\"}}")),
    ] {
        let mut request = call(path, &Value::Null);
        *request.body_mut() = whole(body.clone());
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_clean(&format!("{:?} {}", answer.headers, answer.text()), &body);
    }
    // A key with a typing error is nearly a key.
    let mut request = call("/v1/chat/completions", &chat("fine"));
    request.headers_mut().insert("authorization", format!("Bearer {KEY}x").parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 401);
    assert_clean(&answer.text(), "a refusal");
    assert_clean(&gateway.everything_said().await, "the gateway");
}

/// A document that holds a secret where none belongs is refused without quoting it.
#[tokio::test]
async fn a_secret_in_the_wrong_place_of_the_document_is_not_quoted() {
    let (_upstream, gateway) = guarded().await;
    let good = std::fs::read_to_string(&gateway.file).unwrap();
    let lines = [
        format!("api_key = \"{CREDENTIAL}\""),
        format!("hash = \"{CREDENTIAL}\""),
        format!("[upstream.u]\nbase_url = \"https://user:{CREDENTIAL}@host/v1\""),
        format!("[upstream.u]\napi_key = \"{CREDENTIAL}\""),
        format!("\"{CREDENTIAL}\" = 1"),
        CREDENTIAL.to_owned(),
    ];
    let mut count = 0.0;
    for line in lines {
        std::fs::write(&gateway.file, format!("{good}\n{line}\n")).unwrap();
        count += 1.0;
        gateway
            .until_metrics("it is refused", |metrics| {
                metrics.sum("weir_config_reloads_total", &["outcome=\"refused\""]) >= count
            })
            .await;
    }
    assert_clean(&gateway.everything_said().await, "the gateway");
}
