//! A provider that echoes the prompt, over HTTP/1 or HTTP/2, and counts calls by tenant.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use weir_native_tests::secure::{Asks, Authority, server};

/// Host name of the provider in the cells that resolve one.
pub(crate) const NAME: &str = "provider.test";

/// Time between two words of a stream, so that faults hit streams in their middle.
const WORD: Duration = Duration::from_millis(100);

/// First word of a prompt whose stream lasts for as long as somebody reads it.
pub(crate) const HOLD: &str = "hold";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    /// Over TLS.
    Http2,
}

/// Dropped, it ends.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    /// Certificate of its authority, in a file.
    pub(crate) authority: Option<PathBuf>,
    notes: Arc<Notes>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct Notes {
    /// Number of the next answer: a second answer to one key is told from the first.
    serial: AtomicU64,
    asked: Mutex<BTreeMap<String, u64>>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Provider {
    /// With a certificate for `name`, where it has one.
    pub(crate) async fn start(speaks: Speaks, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (acceptor, authority) = match speaks {
            Speaks::Http1 => (None, None),
            Speaks::Http2 => {
                let authority = Authority::new();
                let mut config = server(&authority, Asks::Nothing, name);
                config.alpn_protocols = vec![b"h2".to_vec()];
                let path = folder.path().join("authority.pem");
                std::fs::write(&path, &authority.pem).unwrap();
                (Some(TlsAcceptor::from(Arc::new(config))), Some(path))
            }
        };
        let notes = Arc::<Notes>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&notes)));
        Self { address, authority, notes, _tasks: tasks, _folder: folder }
    }

    /// Calls for this tenant so far.
    pub(crate) fn asked_for(&self, tenant: &str) -> u64 {
        self.notes.asked().get(tenant).copied().unwrap_or(0)
    }
}

impl Notes {
    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, notes: Arc<Notes>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&notes)));
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, notes: Arc<Notes>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&notes)));
    let server = auto::Builder::new(TokioExecutor::new());
    // Connections that break are what this harness is for.
    match acceptor {
        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

async fn answer(request: Request<Incoming>, notes: Arc<Notes>) -> Result<Response<Body>, Infallible> {
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::builder().status(400).body(Full::default().boxed_unsync()).unwrap());
    };
    let asked: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let prompt = asked["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let tenant = prompt.split(' ').nth(1).unwrap_or_default();
    *notes.asked().entry(tenant.to_owned()).or_default() += 1;
    let id = format!("chatcmpl-{}", notes.serial.fetch_add(1, Ordering::Relaxed));
    let head = |kind: &str| Response::builder().header(header::CONTENT_TYPE, kind);
    if asked["stream"] != true {
        let whole = whole(&id, &prompt).to_string();
        return Ok(head("application/json").body(Full::from(whole).boxed_unsync()).unwrap());
    }
    let is_held = prompt.starts_with(HOLD);
    let words = prompt.split_inclusive(' ').map(|word| delta(&id, &json!({ "content": word }), &Value::Null));
    let words: Vec<String> = words.collect();
    let last = [delta(&id, &json!({}), &json!("stop")), usage(&id), "data: [DONE]\n\n".to_owned()].concat();
    let first = stream::iter(words).then(|word| async {
        tokio::time::sleep(WORD).await;
        word
    });
    let end = stream::once(async move {
        if is_held {
            std::future::pending::<()>().await;
        }
        last
    });
    let frames = first.chain(end).map(|text| Ok(Frame::data(Bytes::from(text))));
    Ok(head("text/event-stream").body(StreamBody::new(frames).boxed_unsync()).unwrap())
}

fn whole(id: &str, text: &str) -> Value {
    let message = json!({ "role": "assistant", "content": text });
    json!({ "id": id, "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10 } })
}

fn delta(id: &str, delta: &Value, finish: &Value) -> String {
    let chunk = json!({ "id": id, "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    format!("data: {chunk}\n\n")
}

fn usage(id: &str) -> String {
    let chunk = json!({ "id": id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": { "prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10 } });
    format!("data: {chunk}\n\n")
}
