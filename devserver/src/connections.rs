//! The connections of one thread: one runtime, and no hand-over in between.

use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir::config;
use weir::platform::{OperatorsAddress, Peer};

use crate::crowd::Guest;
use crate::flood::Counted;
use crate::framing::Guarded;
use crate::idle::Streams;
use crate::linger::{self, Asking, Linger, Upload};
use crate::reader::{self, Answer, Readers};

/// Most bytes of a request's head. Of its fields hyper takes a hundred; a bound of our own would cost an
/// allocation a request.
const LARGEST_HEAD: u32 = 64 * 1024;

/// For closing the books of what was cut off.
const LAST_ENTRIES: Duration = Duration::from_secs(1);

/// Shorter than any wait of a request, of which the store's is the shortest.
const HEARTBEAT: Duration = Duration::from_millis(200);

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) guest: Guest,
    /// It came to the address of the operators.
    pub(crate) is_operators: bool,
}

/// Where the acceptor brings connections.
#[derive(Debug)]
pub(crate) struct Inbox {
    connections: mpsc::UnboundedSender<Arrival>,
    /// Connections at this worker.
    pub(crate) load: Arc<AtomicUsize>,
}

impl Inbox {
    /// `false` when the worker has gone.
    pub(crate) fn give(&self, arrival: Arrival) -> bool {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.connections.send(arrival).is_ok()
    }
}

/// How the process ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// Nothing new comes.
    pub(crate) stop: CancellationToken,
    /// The grace is over.
    pub(crate) abort: CancellationToken,
}

/// What the acceptor has brought.
#[derive(Debug)]
pub(crate) struct Arrivals {
    connections: mpsc::UnboundedReceiver<Arrival>,
    load: Arc<AtomicUsize>,
}

pub(crate) fn inbox() -> (Inbox, Arrivals) {
    let (send, connections) = mpsc::unbounded_channel();
    let load = Arc::default();
    (Inbox { connections: send, load: Arc::clone(&load) }, Arrivals { connections, load })
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To send the head of its request.
    header: Duration,
    /// To take some of what it is sent, and to send some more of a body that is not wanted.
    write: Duration,
}

impl Patience {
    pub(crate) fn of(server: &config::Server) -> Self {
        Self { header: server.header_timeout, write: server.body_timeout }
    }
}

/// Serves what comes in until it is told to stop and all is finished, or to abort.
/// `tasks` are waited for as the connections are.
pub(crate) async fn serve(
    mut arrivals: Arrivals,
    router: Router,
    patience: impl Fn() -> Patience,
    tasks: TaskTracker,
    ending: Ending,
) {
    let open = TaskTracker::new();
    let linger = Linger::new(ending.stop.clone());
    // A timer that is nearer than all others makes tokio wake itself through a file descriptor. With one that
    // is always near, no request's timers are.
    let heartbeat = tokio::spawn(async {
        let mut beat = tokio::time::interval(HEARTBEAT);
        loop {
            beat.tick().await;
        }
    });
    loop {
        let arrival = tokio::select! {
            biased;
            // What was accepted is served, also when the end has come meanwhile.
            arrival = arrivals.connections.recv() => arrival,
            () = ending.stop.cancelled() => break,
        };
        let Some(Arrival { stream, guest, is_operators }) = arrival else { break };
        let load = Leaver(Arc::clone(&arrivals.load));
        // Without one the client has left already.
        let Ok(peer) = stream.peer_addr() else { continue };
        let router = router.clone().layer(axum::Extension(Peer(peer.ip().to_canonical())));
        let router = if is_operators { router.layer(axum::Extension(OperatorsAddress)) } else { router };
        let Patience { header, write } = patience();
        let (ending, linger) = (ending.clone(), linger.within(write));
        open.spawn(async move {
            let _here = (load, guest);
            let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
            // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
            let _ = stream.set_nodelay(true);
            let server = server(header, write);
            let is_switched = Arc::new(AtomicBool::new(false));
            let guarded = Guarded::new(Box::pin(patient(stream, write)), Arc::clone(&is_switched));
            let io = TokioIo::new(Counted::new(guarded));
            let (came, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Streams::default()));
            let (router, first) = (TowerToHyperService::new(router), Arc::clone(&came));
            let counted = Arc::clone(&streams);
            let service = service_fn(move |request: Request<Incoming>| {
                first.store(true, Ordering::Relaxed);
                let version = request.version();
                let asking = Asking::of(version, request.headers());
                let request = request.map(|body| Upload::new(body, version, &linger, asking.clone()));
                let stream = (version == Version::HTTP_2).then(|| counted.begin());
                let answer = router.call(request);
                let is_switched = Arc::clone(&is_switched);
                async move {
                    let mut answer = answer.await?;
                    if answer.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                        is_switched.store(true, Ordering::Relaxed);
                    }
                    if asking.is_some_and(|asking| asking.is_unheard()) {
                        linger::close(answer.headers_mut());
                    }
                    Ok::<_, Infallible>(match stream {
                        Some(stream) => answer.map(|body| axum::body::Body::new(Answer::new(body, stream))),
                        None => answer,
                    })
                }
            });
            let mut connection = pin!(server.serve_connection_with_upgrades(io, service));
            // hyper's own bound begins once it knows the protocol's version.
            let silent = async {
                tokio::time::sleep(header).await;
                if came.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            let last = async {
                tokio::select! {
                    () = ending.stop.cancelled() => {}
                    () = streams.idle(header) => {}
                }
            };
            tokio::select! {
                () = silent => return,
                // It ends in an error whenever the client breaks off.
                _ = connection.as_mut() => return,
                () = last => connection.as_mut().graceful_shutdown(),
            }
            tokio::select! {
                _ = connection => {}
                // Who has been told to go may not answer.
                () = streams.idle(header) => {}
                // Dropped, its requests hand their books to their tasks.
                () = ending.abort.cancelled() => {}
            }
        });
    }
    heartbeat.abort();
    let finished = async {
        open.close();
        open.wait().await;
        tasks.close();
        tasks.wait().await;
    };
    tokio::select! {
        () = finished => {}
        () = ending.abort.cancelled() => {
            tasks.close();
            let _ = tokio::time::timeout(LAST_ENTRIES, tasks.wait()).await;
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

fn server(header_timeout: Duration, write: Duration) -> auto::Builder<Readers> {
    let mut server = auto::Builder::new(Readers { patience: write });
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
        .max_send_buf_size(reader::AHEAD)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    server
}

/// Gives up on a client that takes nothing for so long. Reading has bounds of its own, by request.
fn patient(stream: tokio::net::TcpStream, write: Duration) -> TimeoutStream<tokio::net::TcpStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write));
    stream
}
