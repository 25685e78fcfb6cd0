//! The paths of Azure, whose model is the deployment.

use serde_json::json;

use crate::client::Provider;

#[tokio::test]
async fn the_model_comes_from_the_path() {
    let provider = Provider::start().await.unwrap();
    let body = json!({"model": "ignored", "messages": [{"role": "user", "content": "hi"}], "input": "hi"});
    let path = "/openai/deployments/sim-tokens-3/chat/completions?api-version=2024-10-21";
    let seen = provider.post(path, &body).await.unwrap().json();
    assert_eq!((&seen["model"], &seen["usage"]["completion_tokens"]), (&json!("sim-tokens-3"), &json!(3)));
    let path = "/openai/deployments/sim-embedding/embeddings?api-version=2024-10-21";
    assert_eq!(provider.post(path, &body).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_path_without_its_version_is_unknown() {
    let provider = Provider::start().await.unwrap();
    for query in ["", "?api-version=", "?version=1"] {
        let path = format!("/openai/deployments/sim/chat/completions{query}");
        let seen = provider.post(&path, &json!({})).await.unwrap();
        assert_eq!((seen.status, &seen.json()["error"]["code"]), (404, &json!(null)), "{path}");
    }
}
