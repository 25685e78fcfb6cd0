//! HTTP/2 with prior knowledge: the same answers, and faults that are seen there too.

use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;

use crate::client::Provider;

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

#[expect(clippy::unwrap_used, reason = "an address makes a valid URI")]
fn chat(provider: &Provider, model: &str) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    Request::post(format!("http://{}/v1/chat/completions", provider.addr))
        .body(Full::from(body.to_string()))
        .unwrap()
}

#[tokio::test]
async fn a_stream_comes_whole() {
    let provider = Provider::start().await.unwrap();
    let response = client().request(chat(&provider, "sim-tokens-5-pace-1ms")).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_reset_breaks_the_body_after_its_tokens() {
    let provider = Provider::start().await.unwrap();
    let response = client().request(chat(&provider, "sim-pace-1ms-reset-3")).await.unwrap();
    let mut body = response.into_body();
    let mut seen = Vec::new();
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => seen.extend_from_slice(frame.data_ref().unwrap()),
            Some(Err(error)) => break error,
            None => panic!("a clean end"),
        }
    };
    assert_eq!(String::from_utf8(seen).unwrap().matches("data: ").count(), 4, "{broken}");
    assert!(client().request(chat(&provider, "sim-refuse")).await.is_err());
}
