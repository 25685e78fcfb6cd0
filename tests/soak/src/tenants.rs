//! The ten: what they ask, and what they see.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Between two calls of a tenant.
const PACE: Duration = Duration::from_millis(200);

const PATIENCE: Duration = Duration::from_secs(30);

/// What tenants saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) waits: Vec<Duration>,
    /// Calls that were refused, cut or answered with what is not theirs.
    pub(crate) faults: Vec<String>,
    /// Where counting goes on.
    pub(crate) next: u64,
}

impl Seen {
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.waits.extend(other.waits);
        self.faults.extend(other.faults);
        Self { next: self.next.max(other.next), ..self }
    }

    /// The wait that this share of calls did not exceed.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = (waits.len() as f64 * share).ceil() as usize;
        waits.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }
}

pub(crate) fn key(number: usize) -> String {
    format!("sk-soak-tenant-{number}")
}

/// Calls until `end`, beginning with the call `next`.
pub(crate) async fn call(address: SocketAddr, number: usize, mut next: u64, end: Instant) -> Seen {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(PACE);
    while Instant::now() < end {
        pace.tick().await;
        for asked in asked(number, next) {
            let began = Instant::now();
            let said = tokio::time::timeout(PATIENCE, say(&client, address, number, &asked)).await;
            seen.waits.push(began.elapsed());
            match said.unwrap_or_else(|_| Err("nothing in time".into())) {
                Ok(said) if said == asked.prompt => {}
                Ok(said) => {
                    seen.faults.push(format!("tenant {number} asked {:?} and got {said:?}", asked.prompt));
                }
                Err(fault) => seen.faults.push(format!("tenant {number}, {:?}: {fault}", asked.prompt)),
            }
        }
        next += 1;
    }
    Seen { next, ..seen }
}

#[derive(Clone, Debug)]
struct Asked {
    body: Value,
    prompt: String,
    repeat: Option<String>,
}

/// A whole answer, a stream, one that is kept, or one that is asked for twice under a key that all tenants use.
fn asked(number: usize, call: u64) -> Vec<Asked> {
    let prompt = match call % 4 {
        2 => format!("tenant {number} keeps {}", call / 80),
        _ => format!("tenant {number} asks {call}"),
    };
    let model = if call % 4 == 2 { "kept" } else { "m" };
    let body = json!({ "model": model, "stream": call % 4 == 1, "messages": [{ "role": "user", "content": prompt }] });
    let repeat = (call % 4 == 3).then(|| format!("repeat-{call}"));
    let times = if repeat.is_some() { 2 } else { 1 };
    vec![Asked { body, prompt, repeat }; times]
}

async fn say(
    client: &Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    number: usize,
    asked: &Asked,
) -> Result<String, String> {
    let mut request = Request::post(format!("http://{address}/v1/chat/completions"))
        .header("authorization", format!("Bearer {}", key(number)))
        .header("content-type", "application/json");
    if let Some(repeat) = &asked.repeat {
        request = request.header("idempotency-key", repeat);
    }
    let request = request.body(Full::from(asked.body.to_string())).map_err(|e| e.to_string())?;
    let answer = client.request(request).await.map_err(|e| e.to_string())?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|e| format!("cut: {e}"))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status != 200 {
        return Err(format!("{status}: {text}"));
    }
    if asked.body["stream"] != true {
        let whole: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        return Ok(whole["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned());
    }
    if !text.ends_with("data: [DONE]\n\n") {
        return Err(format!("a stream without its end: {text}"));
    }
    let chunks =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    Ok(chunks
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect())
}
