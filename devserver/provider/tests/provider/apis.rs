//! Text completions, embeddings, models, and what all answers have in common.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::client::{Provider, Request};

#[tokio::test]
async fn text_completions_answer_every_prompt() {
    let provider = Provider::start().await.unwrap();
    let body = json!({"model": "sim-pace-0ms", "prompt": ["one", "two"], "n": 2});
    let seen = provider.post("/v1/completions", &body).await.unwrap().json();
    assert_eq!(seen["object"], "text_completion");
    assert_eq!(seen["choices"].as_array().unwrap().len(), 4);
    assert!(seen["choices"][3]["text"].as_str().unwrap().contains("\"two\""));
    let many = json!({"model": "sim", "prompt": vec!["one"; 65]});
    assert_eq!(provider.post("/v1/completions", &many).await.unwrap().json()["error"]["param"], "prompt");
    let body = json!({"model": "sim-pace-0ms", "prompt": "one", "stream": true,
        "stream_options": {"include_usage": true}});
    let stream = provider.post("/v1/completions", &body).await.unwrap();
    let text: String = stream
        .events()
        .iter()
        .filter_map(|event| event["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, seen["choices"][0]["text"]);
    assert!(stream.events().last().unwrap()["usage"]["total_tokens"].is_u64());
    assert_eq!(stream.data().last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn embeddings_are_the_same_unit_vector_in_both_encodings() {
    let provider = Provider::start().await.unwrap();
    let ask = async |extra: Value| {
        let mut body = json!({"model": "sim-embedding", "input": "a river"});
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        provider.post("/v1/embeddings", &body).await.unwrap().json()
    };
    let floats = ask(json!({})).await;
    assert_eq!(floats["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    let vector: Vec<f64> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(vector.len(), 256);
    assert!((vector.iter().map(|part| part * part).sum::<f64>() - 1.0).abs() < 1e-4);

    let base64 = ask(json!({"encoding_format": "base64"})).await;
    let bytes = STANDARD.decode(base64["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> =
        bytes.chunks_exact(4).map(|part| f32::from_le_bytes(part.try_into().unwrap())).collect();
    let expected: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(decoded, expected);

    let many = ask(json!({"input": [[1, 2, 3], [4]], "dimensions": 8})).await;
    assert_eq!(many["data"][1]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!((&many["data"][1]["index"], &many["usage"]["prompt_tokens"]), (&json!(1), &json!(4)));
    assert_eq!(ask(json!({"dimensions": 0})).await["error"]["param"], "dimensions");
    assert_eq!(ask(json!({"input": {}})).await["error"]["param"], "input");
}

#[tokio::test]
async fn models_are_listed_and_found() {
    let provider = Provider::start().await.unwrap();
    let list = provider.fetch("/v1/models").await.unwrap().json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"].as_array().unwrap().len(), weir_provider::MODELS.len());
    let one = provider.fetch("/v1/models/sim-cut-77").await.unwrap().json();
    assert_eq!((&one["id"], &one["object"]), (&json!("sim-cut-77"), &json!("model")));
    let none = provider.fetch("/v1/models/gpt-4o").await.unwrap();
    assert_eq!((none.status, &none.json()["error"]["code"]), (404, &json!("model_not_found")));
}

#[tokio::test]
async fn every_answer_is_signed() {
    let provider = Provider::start().await.unwrap();
    for path in ["/v1/models", "/v1/any", "/nowhere"] {
        let seen = provider.fetch(path).await.unwrap();
        assert!(seen.header("x-request-id").unwrap().starts_with("req_sim"), "{path}");
        assert!(seen.header("openai-processing-ms").unwrap().parse::<u64>().is_ok(), "{path}");
        assert_eq!(seen.header("openai-organization"), Some("sim-org"), "{path}");
        assert_eq!(seen.header("set-cookie"), Some("sim=1"), "{path}");
    }
    let unknown = provider.fetch("/nowhere").await.unwrap();
    assert_eq!(unknown.json()["error"]["message"], "Invalid URL (GET /nowhere)");
}

#[tokio::test]
async fn only_the_invalid_credential_is_refused() {
    let provider = Provider::start().await.unwrap();
    let table = [
        ("", 200),
        ("authorization: Bearer sk-any\r\n", 200),
        ("authorization: Bearer invalid\r\n", 401),
        ("api-key: invalid\r\n", 401),
        ("api-key: other\r\n", 200),
    ];
    for (headers, status) in table {
        let request = Request { method: "GET", path: "/v1/models", headers, body: "" };
        assert_eq!(provider.exchange(&request).await.unwrap().status, status, "{headers}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_or_too_large_is_refused() {
    let provider = Provider::start().await.unwrap();
    let mut request = Request { method: "POST", path: "/v1/chat/completions", headers: "", body: "{" };
    let seen = provider.exchange(&request).await.unwrap();
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("invalid_json")));
    let large = "x".repeat((64 << 20) + 1);
    request.body = &large;
    let seen = provider.exchange(&request).await.unwrap();
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (413, &json!("request_too_large")));
}
