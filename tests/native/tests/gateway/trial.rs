//! A gateway that is started with nothing: a simulated provider, and a banner that teaches.

use http::{Request, Version};
use serde_json::{Value, json};
use weir_native_tests::{Curl, Gateway, Launch, chat_body, chat_request, whole};

#[tokio::test]
async fn the_banners_curl_line_works_as_it_stands() {
    let gateway = Launch::trial().start().await;
    let banner = gateway.program.stdout.text();
    let (_, command) = banner.split_once("try\n").expect("something to try");
    let (command, _) = command
        .split_once("\n\n")
        .map_or((command, ""), |_| command.trim_start().split_once("\n\n").expect("an empty line behind it"));
    let curl = Curl::parse(command.trim(), &format!("http://{}", gateway.address));
    let mut flow = gateway.flow(curl.request()).await;
    assert_eq!(flow.status, 200);
    assert_eq!(flow.events().await.last().map(String::as_str), Some("[DONE]"));
    assert!(banner.contains("nothing leaves this machine"), "{banner}");
}

#[tokio::test]
async fn models_that_the_banner_names_are_listed_and_answer() {
    let gateway = Launch::trial().start().await;
    let list = gateway.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    for model in &list["data"].as_array().unwrap()[..] {
        assert_eq!(model["object"], "model", "{model}");
        assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
    }
    for model in ["gpt-4o", "claude-3.5-sonnet", "sim"] {
        assert!(ids.contains(&model), "{ids:?}");
        assert_eq!(gateway.get(&format!("/v1/models/{model}")).await.json()["id"], model);
        let answer = gateway.chat(model).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        assert_eq!(answer.json()["object"], "chat.completion");
    }
    let unknown = gateway.get("/v1/models/no-such").await;
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &json!("model_not_found")));
    let body = json!({"model": "text-embedding-3-small", "input": "a river"});
    let embedding = gateway.post("/v1/embeddings", &body).await.json();
    assert!(embedding["data"][0]["embedding"].is_array(), "{embedding}");
}

#[tokio::test]
async fn health_and_readiness_are_json() {
    let gateway = Launch::trial().start().await;
    let health = gateway.get("/health").await;
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    let ready = gateway.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ready")));
    assert_eq!(ready.json()["upstreams"]["simulated"]["usable"], true);
    assert_eq!(ready.header("content-type"), "application/json");
}

#[tokio::test]
async fn an_answer_wears_its_headers_and_continues_the_trace() {
    let gateway = Launch::trial().start().await;
    let mut request = chat_request(&chat_body("sim"));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let answer = gateway.send(request).await;
    let id = answer.header("x-request-id");
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(id.strip_prefix("req_").is_some_and(|hex| hex.len() == 32 && is_hex(hex)), "{id}");
    assert!(answer.header("openai-processing-ms").parse::<u64>().is_ok());
    assert!(answer.header("traceparent").contains(trace), "{:?}", answer.headers);
    let record = gateway.record().await;
    assert_eq!((&record["request_id"], &record["trace_id"]), (&json!(id), &json!(trace)));
}

/// Invariant 5, and the names that dashboards are built on.
#[tokio::test]
async fn metrics_are_open_metrics_and_gauges_return_to_zero() {
    let gateway = Launch::trial().start().await;
    assert_eq!(gateway.chat("sim").await.status, 200);
    for (model, last) in [("sim-pace-0ms", true), ("sim-pace-0ms-cut-3", false)] {
        let events = gateway.stream(model).await.events().await;
        assert_eq!(events.last().is_some_and(|event| event == "[DONE]"), last, "{events:?}");
    }
    gateway.until_records(3).await;
    gateway.until_idle().await;
    let answer = gateway.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    assert!(answer.text().ends_with("# EOF\n"));
    let metrics = gateway.metrics().await;
    for name in [
        "weir_requests_total",
        "weir_request_duration_seconds_bucket",
        "weir_time_to_first_byte_seconds_count",
        "gen_ai_client_token_usage_sum",
        "gen_ai_client_operation_duration_count",
        "gen_ai_server_request_duration_count",
        "gen_ai_server_time_to_first_token_count",
        "gen_ai_server_time_per_output_token_count",
        "weir_upstream_attempts_total",
    ] {
        assert!(metrics.has(name), "{name} is not in\n{}", metrics.0);
    }
    assert_near(metrics.sum("weir_requests_total", &["route=\"sim*\""]), 3.0);
    assert_near(metrics.sum("weir_request_duration_seconds_count", &[]), 3.0);
    assert_near(metrics.sum("weir_streams_ended_total", &["ending=\"complete\""]), 1.0);
    assert_near(metrics.sum("weir_streams_ended_total", &["ending=\"truncated\""]), 1.0);
    assert!(metrics.sum("gen_ai_client_token_usage_sum", &["gen_ai_token_type=\"output\""]) > 3.0);
}

fn assert_near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
}

#[tokio::test]
async fn http_2_by_prior_knowledge_is_answered_whole_and_streamed() {
    let gateway = Launch::trial().start().await;
    let over_http2 = |body: &Value| {
        let mut request = chat_request(body);
        *request.version_mut() = Version::HTTP_2;
        request
    };
    let response = gateway.try_send(over_http2(&chat_body("sim"))).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
    let mut body = chat_body("sim-pace-0ms");
    body["stream"] = true.into();
    let events = gateway.flow(over_http2(&body)).await.events().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    // And an upload without a length, which HTTP/2 does not need.
    let request = Request::post("/v1/files").version(Version::HTTP_2).header("content-type", "text/plain");
    let answer = gateway.send(request.body(whole("a river")).unwrap()).await.json();
    assert_eq!(answer["body_bytes"], 7, "{answer}");
}

#[tokio::test]
async fn refusals_have_the_shape_that_clients_parse() {
    let gateway = Gateway::start(weir_native_tests::SIMULATED).await;
    for (method, target, status) in [
        ("GET", "/v1/no-such", 404),
        ("GET", "/", 404),
        ("POST", "/v1/chat/completions/../../admin", 404),
        ("GET", "/v1/completions", 405),
        ("PUT", "/v1/models", 405),
        ("POST", "/v1/chat/completions", 415),
    ] {
        let answer =
            gateway.send(Request::builder().method(method).uri(target).body(whole("")).unwrap()).await;
        assert_eq!(answer.status, status, "{method} {target}");
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{method} {target}");
        assert!(error["message"].is_string(), "{error}");
        let error = error.as_object().unwrap();
        assert!(error.contains_key("param") && error.contains_key("code"), "{error:?}");
    }
    // Refused before they were admitted: they leave no record.
    assert!(gateway.records().is_empty());
    assert_near(gateway.metrics().await.sum("weir_refusals_total", &[]), 6.0);
}
