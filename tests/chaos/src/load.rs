//! The load: ten tenants that ask steadily, and a note of each call.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_native_tests::hash;

pub(crate) const TENANTS: usize = 10;

/// Concurrency limit of each tenant.
pub(crate) const CONCURRENT: usize = 8;

/// Calls in flight of each tenant.
const LANES: usize = 2;

/// The tenant that asks for more than its rate.
pub(crate) const GREEDY: usize = TENANTS - 1;

/// Its calls a minute.
pub(crate) const RATE: u64 = 30;

/// Time between two calls of a lane.
const PACE: Duration = Duration::from_millis(500);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Name of a tenant, in documents and prompts.
pub(crate) fn tenant(number: usize) -> String {
    format!("t{number}")
}

/// Tables of all keys, for a document.
pub(crate) fn keys() -> String {
    let key = |number| {
        let name = tenant(number);
        let rate = if number == GREEDY { format!("requests = \"{RATE}/min\", ") } else { String::new() };
        let hash = hash(secret(number));
        format!("[key.{name}]\nhash = \"{hash}\"\nlimits = {{ {rate}concurrent = {CONCURRENT} }}\n")
    };
    (0..TENANTS).map(key).collect()
}

pub(crate) fn secret(number: usize) -> String {
    format!("sk-chaos-{number}")
}

/// Addresses of the gateways that a balancer would send calls to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<Mutex<Vec<SocketAddr>>>, Arc<AtomicUsize>);

impl Doors {
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next address, in turn.
    fn next(&self) -> SocketAddr {
        let all = self.all();
        all[self.1.fetch_add(1, Ordering::Relaxed) % all.len()]
    }
}

/// One call, when it is over.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// Cause of the failure, in a few words.
    pub(crate) failure: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    /// Answers that are another's, truncated and told as complete, or given twice.
    pub(crate) wrong: Vec<String>,
}

/// Dropped, it ends.
pub(crate) struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    lanes: JoinSet<()>,
}

impl Load {
    pub(crate) fn begin(doors: &Doors) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let mut lanes = JoinSet::new();
        for number in 0..TENANTS {
            for lane in 0..LANES {
                let caller = Caller { number, doors: doors.clone(), client: client() };
                lanes.spawn(run(caller, lane, Arc::clone(&seen), Arc::clone(&stop)));
            }
        }
        Self { seen, stop, lanes }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets calls in flight end, and makes no more.
    pub(crate) async fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(lane) = self.lanes.join_next().await {
            lane.unwrap();
        }
    }
}

async fn run(caller: Caller, lane: usize, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for number in 0_usize.. {
        pace.tick().await;
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let begun = Instant::now();
        let name = tenant(caller.number);
        let (failure, wrong) = caller.call(&name, lane, number).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls.push(Call { begun, ended: Instant::now(), failure });
        seen.wrong.extend(wrong);
    }
}

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

struct Caller {
    number: usize,
    doors: Doors,
    client: Http,
}

/// An answer, read.
#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    id: String,
    text: String,
}

impl Caller {
    /// Makes a whole call, a stream, a cached one, or one that is repeated under a key; returns its failure and what is wrong.
    async fn call(&self, name: &str, lane: usize, number: usize) -> (Option<String>, Option<String>) {
        let kind = if self.number == GREEDY { 0 } else { number % 4 };
        let prompt = match kind {
            2 => format!("tenant {name} keeps {}", number / 16),
            _ => format!("tenant {name} asks in lane {lane} for {number}"),
        };
        let key = format!("{name}-{lane}-{number}");
        let first = self.ask(&prompt, kind, (kind == 3).then_some(&key)).await;
        let first = match first {
            Ok(first) => first,
            Err(Fault::Refused(code)) if self.number == GREEDY && code == "429" => return (None, None),
            Err(Fault::Refused(why)) => return (Some(why), None),
            Err(Fault::Wrong(wrong)) => return (None, Some(wrong)),
        };
        if kind != 3 {
            return (None, None);
        }
        match self.ask(&prompt, kind, Some(&key)).await {
            Ok(second) if first.id == second.id => (None, None),
            // While the store is lost no key is known: the manual says so.
            Ok(second) if [&first, &second].iter().any(|a| a.headers.contains_key("x-weir-degraded")) => {
                (None, None)
            }
            Ok(second) => (None, Some(format!("{key} was answered twice: {} and {}", first.id, second.id))),
            Err(Fault::Refused(why)) => (Some(why), None),
            Err(Fault::Wrong(wrong)) => (None, Some(wrong)),
        }
    }

    async fn ask(&self, prompt: &str, kind: usize, key: Option<&String>) -> Result<Answer, Fault> {
        let is_streamed = kind == 1;
        let request = request(self.doors.next(), self.number);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let body = body(prompt, kind == 2, is_streamed);
        let asked = tokio::time::timeout(PATIENCE, answer(&self.client, request, body, is_streamed)).await;
        let answer = asked.map_err(|_| Fault::Refused("no answer in time".into()))??;
        if answer.text == prompt {
            Ok(answer)
        } else {
            Err(Fault::Wrong(format!("{prompt:?} was answered by {:?}", answer.text)))
        }
    }
}

#[derive(Debug)]
pub(crate) enum Fault {
    Refused(String),
    Wrong(String),
}

pub(crate) fn request(to: SocketAddr, tenant: usize) -> http::request::Builder {
    Request::post(format!("http://{to}/v1/chat/completions"))
        .header("authorization", format!("Bearer {}", secret(tenant)))
        .header("content-type", "application/json")
}

pub(crate) fn body(prompt: &str, is_kept: bool, is_streamed: bool) -> Full<Bytes> {
    let model = if is_kept { "kept" } else { "m" };
    let messages = json!([{ "role": "user", "content": prompt }]);
    Full::from(json!({ "model": model, "stream": is_streamed, "messages": messages }).to_string())
}

async fn answer(
    client: &Http,
    request: http::request::Builder,
    body: Full<Bytes>,
    is_streamed: bool,
) -> Result<Answer, Fault> {
    let refused = |why: &dyn std::fmt::Display| Fault::Refused(why.to_string());
    let answer = client.request(request.body(body).unwrap()).await.map_err(|_| refused(&"no answer"))?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| refused(&"cut"))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if head.status != 200 {
        return Err(refused(&head.status.as_u16()));
    }
    let (id, text) = if is_streamed { streamed(&text)? } else { whole(&text)? };
    Ok(Answer { headers: head.headers, id, text })
}

fn whole(text: &str) -> Result<(String, String), Fault> {
    let whole: Value = serde_json::from_str(text).map_err(|e| Fault::Wrong(format!("{e}: {text}")))?;
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((of(&whole["id"]), of(&whole["choices"][0]["message"]["content"])))
}

/// Reads a stream. A cut one ends in an error event or breaks; an end without either is wrong.
fn streamed(text: &str) -> Result<(String, String), Fault> {
    let (mut id, mut said) = (String::new(), String::new());
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            return Ok((id, said));
        }
        let chunk: Value = serde_json::from_str(data).map_err(|e| Fault::Wrong(format!("{e}: {data}")))?;
        if chunk["error"].is_object() {
            return Err(Fault::Refused("error in stream".into()));
        }
        chunk["id"].as_str().unwrap_or_default().clone_into(&mut id);
        said += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    }
    Err(Fault::Wrong(format!("a stream ends without a word of it: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";

    #[test]
    fn a_stream_is_whole_refused_or_wrong() {
        let said = |rest: &str| match streamed(&format!("{WORD}{rest}")) {
            Ok((id, text)) => format!("{id}: {text}"),
            Err(Fault::Refused(_)) => "refused".to_owned(),
            Err(Fault::Wrong(_)) => "wrong".to_owned(),
        };
        assert_eq!(said("data: [DONE]\n\n"), "a: hi");
        assert_eq!(said("data: {\"error\":{\"message\":\"cut\"}}\n\n"), "refused");
        assert_eq!(said(""), "wrong", "it is truncated and says nothing of it");
        assert_eq!(said("data: {\"cho\n\n"), "wrong");
    }
}
