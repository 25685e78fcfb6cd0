//! A provider that costs next to nothing: fixed answers, as fast as a connection takes them, or as fast as its
//! slots do. What it has taken on it works off, whether or not anyone still waits.
//!
//! It behaves as `OpenAI` does where that costs a gateway work: a stream begins with a chunk that has a role and
//! no word, and asked for usage it puts `"usage":null` into every chunk and a chunk with usage at the end.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use crate::ask::Ask;
use crate::cli::{Capacity, Failed, say};

/// Enough for ten thousand streams that come at once.
const BACKLOG: u32 = 4096;

const ANSWER: &str = r#"{"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion","created":1741570283,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"Uploads from one office time out after thirty seconds while downloads are fine. The proxy in front of the upload service is the likeliest suspect.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":84,"completion_tokens":31,"total_tokens":115,"prompt_tokens_details":{"cached_tokens":0}},"service_tier":"default","system_fingerprint":"fp_fc9f1d7035"}"#;

/// Serves until standard input ends.
pub(crate) fn serve(capacity: Capacity) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failed::because("no runtime", e))?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(accept(capacity)).map_err(|e| Failed::because("the upstream cannot serve", e))
}

async fn accept(capacity: Capacity) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(BACKLOG)?;
    say(format_args!("listening on http://{}", listener.local_addr()?));
    let provider = Arc::new(Provider::new(capacity));
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let provider = Arc::clone(&provider);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&provider)));
            // It ends in an error whenever the other side breaks off.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// What all connections share.
#[derive(Debug)]
struct Provider {
    scripts: Scripts,
    /// Calls so far.
    calls: AtomicU64,
    /// Slots, and the time of each call in one.
    work: Option<(Arc<Semaphore>, Duration)>,
}

impl Provider {
    fn new(Capacity { slots, work }: Capacity) -> Self {
        let work = (slots > 0).then(|| (Arc::new(Semaphore::new(slots)), Duration::from_millis(work)));
        Self { scripts: Scripts::default(), calls: AtomicU64::new(0), work }
    }

    /// Waits for a slot and works in it. It is a task of its own: a caller that leaves ends nothing.
    async fn work(&self) {
        let Some((slots, span)) = &self.work else { return };
        let (slots, span) = (Arc::clone(slots), *span);
        let work = tokio::spawn(async move {
            let _slot = slots.acquire().await;
            tokio::time::sleep(span).await;
        });
        // It neither panics nor is it aborted.
        let _ = work.await;
    }
}

async fn answer(request: Request<Incoming>, provider: Arc<Provider>) -> Result<Response<Answer>, Infallible> {
    if request.method() == Method::GET {
        let calls = provider.calls.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Answer::Whole(calls.into())));
    }
    provider.calls.fetch_add(1, Ordering::Relaxed);
    let asked = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = asked.unwrap_or_default();
    let (status, kind, answer) = match Ask::of(&body) {
        None => (StatusCode::BAD_REQUEST, "text/plain", Answer::Whole(Bytes::new())),
        Some(Ask::Json) => {
            provider.work().await;
            (StatusCode::OK, "application/json", Answer::Whole(Bytes::from_static(ANSWER.as_bytes())))
        }
        Some(ask) => {
            let has_usage = memchr::memmem::find(&body, b"include_usage").is_some();
            let script = if has_usage { &provider.scripts.with_usage } else { &provider.scripts.plain };
            let words = if let Ask::Stream(words) = ask { Some(words) } else { None };
            let events = Events { script: Arc::clone(script), words, sent: 0, has_yielded: true };
            (StatusCode::OK, "text/event-stream", Answer::Events(events))
        }
    };
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// The events of a stream, ready to be sent.
#[derive(Debug)]
struct Script {
    role: Bytes,
    word: Bytes,
    /// The end, usage and terminator included, each an event.
    tail: Vec<Bytes>,
}

#[derive(Debug)]
struct Scripts {
    plain: Arc<Script>,
    with_usage: Arc<Script>,
}

impl Default for Scripts {
    fn default() -> Self {
        let usage = r#""choices":[],"usage":{"prompt_tokens":84,"completion_tokens":31,"total_tokens":115}"#;
        Self {
            plain: Arc::new(Script::new("", &[])),
            with_usage: Arc::new(Script::new(r#","usage":null"#, &[usage])),
        }
    }
}

impl Script {
    fn new(null_usage: &str, behind_end: &[&str]) -> Self {
        let event = |fields: &str| {
            Bytes::from(format!(
                "data: {{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\
                 \"created\":1741570283,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\
                 \"system_fingerprint\":\"fp_fc9f1d7035\",{fields}}}\n\n"
            ))
        };
        let choice = |delta: &str, reason: &str| {
            event(&format!(
                r#""choices":[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{reason}}}]{null_usage}"#
            ))
        };
        let mut tail = vec![choice("", r#""stop""#)];
        tail.extend(behind_end.iter().map(|fields| event(fields)));
        tail.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Self {
            role: choice(r#""role":"assistant","content":"","refusal":null"#, "null"),
            word: choice(r#""content":"word""#, "null"),
            tail,
        }
    }

    /// Event number `at` of a stream of `words`; `None` for words without end that are not said.
    fn event(&self, at: usize, words: Option<usize>) -> Next {
        match (at, words) {
            (0, _) => Next::Event(self.role.clone()),
            (1, None) => Next::Event(self.word.clone()),
            (_, None) => Next::Silence,
            (at, Some(words)) if at <= words => Next::Event(self.word.clone()),
            (at, Some(words)) => self.tail.get(at - words - 1).map_or(Next::End, |e| Next::Event(e.clone())),
        }
    }
}

enum Next {
    Event(Bytes),
    Silence,
    End,
}

/// What is answered.
#[derive(Debug)]
enum Answer {
    Whole(Bytes),
    Events(Events),
}

/// A stream, each event written by itself, as a provider does that makes one after the other.
#[derive(Debug)]
struct Events {
    script: Arc<Script>,
    /// `None`: one word, then silence.
    words: Option<usize>,
    sent: usize,
    has_yielded: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => frame(std::mem::take(bytes)),
            Self::Events(events) => {
                if !events.has_yielded {
                    events.has_yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                events.has_yielded = false;
                let at = events.sent;
                events.sent += 1;
                match events.script.event(at, events.words) {
                    Next::Event(bytes) => frame(bytes),
                    Next::End => Poll::Ready(None),
                    Next::Silence => {
                        events.sent = at;
                        events.has_yielded = true;
                        Poll::Pending
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
