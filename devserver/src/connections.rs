//! The connections of one thread: one runtime, and no hand-over in between.

use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use http::Request;
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
use weir::identity::access::{OperatorsAddress, Peer};

use crate::crowd::Guest;
use crate::flood::Counted;
use crate::framing::Guarded;
use crate::idle::{Activity, Bounds, Over};
use crate::linger::{self, Asking, Linger, Upload};
use crate::reader::{self, Answer, Readers};

/// Most bytes of a request's head. Of its fields hyper takes a hundred; a bound of our own would cost an
/// allocation a request.
const LARGEST_HEAD: u32 = 64 * 1024;

/// For telling whoever is cut off, and for closing the books of it.
const LAST_ENTRIES: Duration = Duration::from_secs(1);

/// Of that, for the telling.
const LAST_WORDS: Duration = Duration::from_millis(500);

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
    abort: CancellationToken,
    /// The same, for those who ask with every chunk.
    is_aborted: Arc<AtomicBool>,
}

impl Ending {
    pub(crate) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Relaxed);
        self.abort.cancel();
    }

    pub(crate) fn aborted(&self) -> impl Future<Output = ()> + Send + use<> {
        self.abort.clone().cancelled_owned()
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Relaxed)
    }
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
    idle: Bounds,
    /// To take some of what it is sent, and to send some more of a body that is not wanted.
    write: Duration,
}

impl Patience {
    pub(crate) fn of(server: &config::Server) -> Self {
        let idle = Bounds { header: server.header_timeout, keep_alive: server.keep_alive };
        Self { idle, write: server.body_timeout }
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
        let Patience { idle, write } = patience();
        let (ending, linger) = (ending.clone(), linger.within(write));
        open.spawn(async move {
            let _here = (load, guest);
            let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
            // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
            let _ = stream.set_nodelay(true);
            let server = server(Readers { patience: write, abort: ending.abort.child_token() });
            let is_switched = Arc::new(AtomicBool::new(false));
            let activity = Arc::new(Activity::new());
            let stream = Box::pin(patient(stream, write));
            let guarded = Guarded::new(stream, Arc::clone(&activity), Arc::clone(&is_switched));
            let io = TokioIo::new(Counted::new(guarded));
            let (router, counted) = (TowerToHyperService::new(router), Arc::clone(&activity));
            let service = service_fn(move |request: Request<Incoming>| {
                let version = request.version();
                let asking = Asking::of(version, request.headers());
                let request = request.map(|body| Upload::new(body, version, &linger, asking.clone()));
                let begun = counted.begin();
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
                    Ok::<_, Infallible>(answer.map(|body| Answer::new(body, begun)))
                }
            });
            let mut connection = pin!(server.serve_connection_with_upgrades(io, service));
            let over = async {
                tokio::select! {
                    () = ending.stop.cancelled() => Over::Idle,
                    over = activity.over(idle) => over,
                }
            };
            tokio::select! {
                // It ends in an error whenever the client breaks off.
                _ = connection.as_mut() => return,
                over = over => match over {
                    Over::Head => return,
                    Over::Idle => connection.as_mut().graceful_shutdown(),
                },
            }
            // Who has been told to go may not answer, and has no time to be idle.
            let leaving = Bounds { keep_alive: idle.header, ..idle };
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = activity.over(leaving) => return,
                () = ending.abort.cancelled() => {}
            }
            // Polled once more, what is under way ends by itself. Dropped, it hands its books to its task.
            let _ = tokio::time::timeout(LAST_WORDS, connection).await;
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
            let last = async {
                open.close();
                open.wait().await;
                tasks.close();
                tasks.wait().await;
            };
            let _ = tokio::time::timeout(LAST_ENTRIES, last).await;
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

fn server(readers: Readers) -> auto::Builder<Readers> {
    let mut server = auto::Builder::new(readers);
    // What its own bound for heads counts begins with the end of the answer before.
    server.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(LARGEST_HEAD as usize);
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
