//! The threads that serve: each has a runtime of its own, and one acceptor brings them connections.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;
use weir::config;

use crate::cli::{Failed, say};
use crate::connections::{self, Arrival, Arrivals, Ending, Inbox};
use crate::crowd::{self, Bounds, Crowd, Full};
use crate::descriptors;
use crate::drain::{self, Stop};

/// The pause after a failed accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Between two lines about accepts that fail.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct Door {
    listener: tokio::net::TcpListener,
    is_operators: bool,
}

/// Who may come in.
pub(crate) trait Entry: Clone + Send + 'static {
    /// For the next connection.
    fn bounds(&self) -> Bounds;

    fn turned_away(&self, full: Full);
}

impl Door {
    /// From the runtime that is to accept.
    pub(crate) fn new(listener: TcpListener, is_operators: bool) -> Result<Self, Failed> {
        let failed = |e| Failed::because("the listener cannot be used", e);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        Ok(Self { listener, is_operators })
    }
}

#[derive(Debug)]
pub(crate) struct Crew {
    inboxes: Vec<Inbox>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// For one thread.
pub(crate) fn runtime() -> Result<Runtime, Failed> {
    Builder::new_current_thread().enable_all().build().map_err(|e| Failed::because("no runtime", e))
}

impl Crew {
    /// As many threads as `server` says, each of which does its own `work`.
    pub(crate) fn start<W>(
        server: &config::Server,
        mut work: impl FnMut(Arrivals) -> W,
    ) -> Result<Self, Failed>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let count = if server.workers == 0 { cores } else { server.workers };
        let (mut inboxes, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (inbox, arrivals) = connections::inbox();
            let (runtime, work) = (runtime()?, work(arrivals));
            let thread = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(work))
                .map_err(|e| Failed::because("no thread", e))?;
            inboxes.push(inbox);
            threads.push(thread);
        }
        Ok(Self { inboxes, threads })
    }

    /// Serves until the operator asks for the end, and then no longer than `grace`, which is asked for only
    /// then. `greet` is called when somebody listens; what it gives is printed.
    pub(crate) async fn serve(
        self,
        doors: Vec<Door>,
        entry: impl Entry,
        ending: &Ending,
        greet: impl FnOnce() -> String,
        grace: impl FnOnce() -> Duration,
    ) -> Result<(), Failed> {
        let Self { inboxes, threads } = self;
        let (inboxes, acceptors) = (Arc::new(inboxes), TaskTracker::new());
        for door in doors {
            // Each has its own: callers do not keep operators out.
            let accepting = accept(door, Arc::clone(&inboxes), Crowd::default(), entry.clone());
            acceptors.spawn(ending.stop.clone().run_until_cancelled_owned(accepting));
        }
        acceptors.close();
        // Signals are heeded before anyone is told where it listens.
        let mut stop = Stop::listen()?;
        tokio::task::yield_now().await;
        let greeting = greet();
        // Standard output may be a pipe that nobody reads. A greeting without a thread is not worth an end.
        let _ = thread::Builder::new().name("greeting".into()).spawn(move || say(greeting));
        stop.asked().await;
        ending.stop.cancel();
        let grace = grace();
        tracing::info!(grace_s = grace.as_secs(), "stopping: no new connections, open requests are finished");
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // One that panicked has told so on standard error.
                let _ = thread.join();
            }
        });
        let finished = drain::within_grace(grace, &mut stop, async { drop(joined.await) }).await;
        ending.abort();
        acceptors.wait().await;
        tracing::info!(finished, "stopped");
        Ok(())
    }
}

/// Hands each connection to the worker that has the fewest.
async fn accept(door: Door, inboxes: Arc<Vec<Inbox>>, crowd: Crowd, entry: impl Entry) {
    let Door { listener, is_operators } = door;
    let mut told: Option<Instant> = None;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream.into_std(), peer),
            Err(error) => {
                // The connection waits in the system's queue, and is tried again.
                if told.is_none_or(|told| told.elapsed() >= LINE_PAUSE) {
                    told = Some(Instant::now());
                    tracing::error!(%error, "connections are not accepted");
                    if descriptors::are_used_up(&error) {
                        entry.turned_away(Full::Descriptors);
                    }
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(stream) = stream else { continue };
        match crowd.enter(peer.ip(), entry.bounds()) {
            Ok(guest) => {
                let idlest = inboxes.iter().min_by_key(|inbox| inbox.load.load(Ordering::Relaxed));
                if let Some(inbox) = idlest {
                    inbox.give(Arrival { stream, guest, is_operators });
                }
            }
            Err(full) => {
                entry.turned_away(full);
                crowd::turn_away(stream);
            }
        }
    }
}
