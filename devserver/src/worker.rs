//! A thread that serves connections: one runtime, one set of upstream connections, no hand-over in between.

use std::convert::Infallible;
use std::net::TcpStream;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::FutureExt as _;
use http::{HeaderValue, StatusCode, Version, header};
use http_body::Body as _;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::platform::Peer;
use weir::refusal::Refusal;

use crate::body::Chunks;
use crate::live::Live;
use crate::native::Native;
use crate::reader;

/// Most bytes of a request's head. Of its fields hyper takes a hundred; a bound of our own would cost an
/// allocation a request.
const LARGEST_HEAD: u32 = 64 * 1024;

/// For closing the books of what was cut off.
const LAST_ENTRIES: Duration = Duration::from_secs(1);

/// Shorter than any wait of a request, of which the store's is the shortest.
const HEARTBEAT: Duration = Duration::from_millis(200);

/// What a worker's requests share.
#[derive(Clone)]
struct Desk {
    native: Native,
    live: Arc<Live>,
    settlements: TaskTracker,
}

/// Where the acceptor brings connections.
#[derive(Debug)]
pub(crate) struct Inbox {
    connections: mpsc::UnboundedSender<TcpStream>,
    /// Connections at this worker.
    pub(crate) load: Arc<AtomicUsize>,
}

impl Inbox {
    /// `false` when the worker has gone.
    pub(crate) fn give(&self, connection: TcpStream) -> bool {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.connections.send(connection).is_ok()
    }
}

/// How the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Nothing new comes.
    pub(crate) stop: CancellationToken,
    /// The grace is over.
    pub(crate) abort: CancellationToken,
}

pub(crate) fn inbox() -> (Inbox, mpsc::UnboundedReceiver<TcpStream>) {
    let (connections, received) = mpsc::unbounded_channel();
    (Inbox { connections, load: Arc::default() }, received)
}

/// Serves what comes in until it is told to stop and all is finished, or to abort.
pub(crate) async fn work(
    native: Native,
    live: Arc<Live>,
    mut connections: mpsc::UnboundedReceiver<TcpStream>,
    load: Arc<AtomicUsize>,
    ending: Ending,
) {
    native.connect().await;
    let settlements = TaskTracker::new();
    let desk = Desk { native, live, settlements: settlements.clone() };
    let router = Router::new().route("/metrics", get(metrics)).fallback(gateway).with_state(desk.clone());
    let graceful = GracefulShutdown::new();
    // A timer that is nearer than all others makes tokio wake itself through a file descriptor. With one that
    // is always near, no request's timers are.
    let heartbeat = tokio::spawn(async {
        let mut beat = tokio::time::interval(HEARTBEAT);
        loop {
            beat.tick().await;
        }
    });
    loop {
        let connection = tokio::select! {
            biased;
            // What was accepted is served, also when the end has come meanwhile.
            connection = connections.recv() => connection,
            () = ending.stop.cancelled() => break,
        };
        let Some(connection) = connection else { break };
        let (watcher, load) = (graceful.watcher(), Leaver(Arc::clone(&load)));
        // Without one the client has left already.
        let Ok(peer) = connection.peer_addr() else { continue };
        let router = router.clone().layer(axum::Extension(Peer(peer.ip().to_canonical())));
        let (header, write) = {
            let config = desk.live.config();
            (config.server.header_timeout, config.server.body_timeout)
        };
        let abort = ending.abort.clone();
        tokio::spawn(async move {
            let _load = load;
            let Ok(stream) = tokio::net::TcpStream::from_std(connection) else { return };
            // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
            let _ = stream.set_nodelay(true);
            let server = server(header);
            let io = TokioIo::new(Box::pin(patient(stream, write)));
            let came = Arc::new(AtomicBool::new(false));
            let (router, first) = (TowerToHyperService::new(router), Arc::clone(&came));
            let service = service_fn(move |request| {
                first.store(true, Ordering::Relaxed);
                router.call(request)
            });
            let connection = server.serve_connection(io, service);
            // hyper's own bound begins once it knows the protocol's version.
            let silent = async {
                tokio::time::sleep(header).await;
                if came.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = silent => {}
                // It ends in an error whenever the client breaks off.
                _ = watcher.watch(connection) => {}
                // Dropped, its requests hand their books to their settlements.
                () = abort.cancelled() => {}
            }
        });
    }
    heartbeat.abort();
    let finished = async {
        graceful.shutdown().await;
        settlements.close();
        settlements.wait().await;
    };
    tokio::select! {
        () = finished => {}
        () = ending.abort.cancelled() => {
            settlements.close();
            let _ = tokio::time::timeout(LAST_ENTRIES, settlements.wait()).await;
        }
    }
}

/// A connection that is left counts no more.
struct Leaver(Arc<AtomicUsize>);

impl Drop for Leaver {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn server(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LARGEST_HEAD as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(LARGEST_HEAD)
        .max_concurrent_streams(256)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    server
}

/// Gives up on a client that takes nothing for so long. Reading has bounds of its own, by request.
fn patient(stream: tokio::net::TcpStream, write: Duration) -> TimeoutStream<tokio::net::TcpStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write));
    stream
}

async fn gateway(State(desk): State<Desk>, request: Request) -> Result<Response, Infallible> {
    let gauge = InFlight::new(&desk.native);
    let config = desk.live.config();
    let patience = (request.version() == Version::HTTP_2).then_some(config.server.body_timeout);
    let (answer, settlement) = weir::handle(&desk.native, config, request.map(Chunks));
    desk.settlements.spawn(async move {
        let _gauge = gauge;
        settlement.run().await;
    });
    // A panic hurts this request and no other.
    // Boxed, it is moved once and not by every layer around it.
    let answer = AssertUnwindSafe(Box::pin(answer)).catch_unwind().await;
    let Ok(answer) = answer else { return Ok(internal_error()) };
    Ok(match patience {
        Some(patience) if !answer.body().is_end_stream() => {
            answer.map(|body| axum::body::Body::new(reader::watched(body, patience)))
        }
        Some(_) | None => answer.map(axum::body::Body::new),
    })
}

/// Counts a request until its books are closed.
struct InFlight(prometheus_client::metrics::gauge::Gauge);

impl InFlight {
    fn new(native: &Native) -> Self {
        let gauge = native.process.metrics.in_flight.clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn internal_error() -> Response {
    let refusal = Refusal::Internal;
    (refusal.status(), refusal.headers(), refusal.to_body()).into_response()
}

async fn metrics(State(desk): State<Desk>) -> Response {
    let process = &desk.native.process;
    match process.metrics.print(&process.books, &process.standing()) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
