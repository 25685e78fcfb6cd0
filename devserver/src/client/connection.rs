//! A connection to an upstream as it is spoken on, by either version of HTTP.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http_body::Body;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout_at};
use weir::ledger::connect_fault::ConnectFault;

use super::connector::{Connected, Link, Past, Peer, millis};

/// Bytes of an answer that are read ahead, and the longest head. A client that reads nothing costs a few of these.
const READ_AHEAD: usize = 64 * 1024;

/// After how long a silence a peer is asked for a sign of life while calls wait for it, and how long that may take.
const PING_AFTER: Duration = Duration::from_secs(10);
const PING_WAIT: Duration = Duration::from_secs(5);

/// A body that is sent upstream.
pub(crate) trait Posted:
    Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> Posted for B where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

/// What is known of a connection from its beginning.
#[derive(Debug)]
pub(super) struct About {
    pub(super) past: Past,
    pub(super) peer: Peer,
    pub(super) address: SocketAddr,
    /// From then on it takes no new call.
    pub(super) retires: Instant,
}

impl About {
    fn of(connected: &Connected, retires: Instant) -> Self {
        let (past, peer) = (connected.link.past().clone(), connected.link.peer());
        Self { past, peer, address: connected.address, retires }
    }
}

/// One of HTTP/1.1, which carries one call at a time.
pub(super) struct Http1<B> {
    pub(super) about: About,
    pub(super) sender: http1::SendRequest<B>,
}

/// One of HTTP/2, which carries as many as its peer takes.
pub(super) struct Http2<B> {
    pub(super) about: About,
    sender: http2::SendRequest<B>,
    peer: Box<dyn Limit>,
    /// Calls on it.
    streams: AtomicUsize,
    /// More than these were refused, whatever the peer has said before.
    learned: AtomicUsize,
    is_retired: AtomicBool,
    /// When it last had a call, in [`millis`].
    used_at: AtomicU64,
}

impl<B> fmt::Debug for Http2<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("about", &self.about).finish_non_exhaustive()
    }
}

/// A connection as it was made.
pub(super) enum New<B> {
    Http1(Http1<B>),
    Http2(Http2<B>),
}

impl<B> Http2<B> {
    pub(super) fn sender(&self) -> http2::SendRequest<B> {
        self.sender.clone()
    }

    /// Whether it takes new calls at all.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.is_retired.load(Ordering::Relaxed) && self.about.retires > now && !self.sender.is_closed()
    }

    /// How many calls it takes at the same time.
    pub(super) fn most(&self) -> usize {
        self.peer.most().min(self.learned.load(Ordering::Relaxed))
    }

    /// Takes room for one call, if there is any.
    pub(super) fn take(&self) -> bool {
        let most = self.most();
        let more = |streams| (streams < most).then_some(streams + 1);
        self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// The call is over; what is left.
    pub(super) fn give_back(&self) -> usize {
        self.used_at.store(millis(), Ordering::Relaxed);
        self.streams.fetch_sub(1, Ordering::Relaxed).saturating_sub(1)
    }

    /// It takes no new call, and ends with those it has.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// The peer has refused a call that it was not asked more of than it said to take.
    pub(super) fn learn_of_refusal(&self) {
        match self.streams.load(Ordering::Relaxed).saturating_sub(1) {
            // It takes none any more.
            0 => self.retire(),
            others => _ = self.learned.fetch_min(others, Ordering::Relaxed),
        }
    }

    /// Whether nothing has been on it for `span`.
    pub(super) fn is_idle_for(&self, span: Duration) -> bool {
        let idle = millis().saturating_sub(self.used_at.load(Ordering::Relaxed));
        self.streams.load(Ordering::Relaxed) == 0 && u128::from(idle) >= span.as_millis()
    }
}

impl<B: Posted> New<B> {
    /// Begins to speak on a connection: until `deadline` an HTTP/2 peer has said how many calls it takes.
    pub(super) async fn begin(
        connected: Connected,
        retires: Instant,
        deadline: Instant,
    ) -> Result<Self, ConnectFault> {
        let about = About::of(&connected, retires);
        if connected.link.speaks_http2() {
            return Http2::begin(connected.link, about, deadline).await.map(Self::Http2);
        }
        Http1::begin(connected.link, about).await.map(Self::Http1)
    }
}

impl<B: Posted> Http1<B> {
    async fn begin(link: Link, about: About) -> Result<Self, ConnectFault> {
        let io = TokioIo::new(link);
        let begun = http1::Builder::new().max_buf_size(READ_AHEAD).handshake(io).await;
        let (sender, connection) = begun.map_err(|_| ConnectFault::Broken)?;
        // How it ends is told to whoever has a call on it.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Self { about, sender })
    }
}

impl<B: Posted> Http2<B> {
    async fn begin(link: Link, about: About, deadline: Instant) -> Result<Self, ConnectFault> {
        let spawner = Spawner::default();
        let first = Arc::clone(&spawner.0);
        let begun = http2::Builder::new(spawner)
            .timer(TokioTimer::new())
            // None, until its peer has said how many.
            .initial_max_send_streams(0)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_WAIT)
            .handshake(TokioIo::new(link))
            .await;
        let broken = |past: &Past| {
            if past.has_refused() { ConnectFault::ClientCertificateRefused } else { ConnectFault::Broken }
        };
        let (sender, connection) = begun.map_err(|_| broken(&about.past))?;
        let driven = Arc::new(Driven(Mutex::new(Some(connection))));
        let driver = Arc::clone(&driven);
        let told = Arc::clone(&first);
        tokio::spawn(async move {
            // How it ends is told to whoever has a call on it.
            poll_fn(|cx| {
                let mut driven = driver.lock();
                let Some(connection) = driven.as_mut() else { return Poll::Ready(()) };
                let polled = Pin::new(connection).poll(cx);
                if polled.is_ready() {
                    // What it was still to carry is told so.
                    *driven = None;
                }
                polled.map(drop)
            })
            .await;
            told.over.store(true, Ordering::Relaxed);
            told.waker.wake();
        });
        let settled = poll_fn(|cx| {
            first.waker.register(cx.waker());
            if driven.most() > 0 {
                Poll::Ready(Ok(()))
            } else if first.over.load(Ordering::Relaxed) || sender.is_closed() {
                Poll::Ready(Err(broken(&about.past)))
            } else {
                Poll::Pending
            }
        });
        timeout_at(deadline, settled).await.map_err(|_| ConnectFault::TimedOut)??;
        first.is_settled.store(true, Ordering::Relaxed);
        Ok(Self {
            about,
            sender,
            peer: Box::new(driven),
            streams: AtomicUsize::new(0),
            learned: AtomicUsize::new(usize::MAX),
            is_retired: AtomicBool::new(false),
            used_at: AtomicU64::new(millis()),
        })
    }
}

/// What a peer says of how many calls it takes.
trait Limit: Send + Sync {
    fn most(&self) -> usize;
}

type Connection<B> = http2::Connection<TokioIo<Link>, B, Spawner>;

/// A connection that a task of its own drives and others look at. Both are of the same thread, so nobody waits.
struct Driven<C>(Mutex<Option<C>>);

impl<C> Driven<C> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Posted> Driven<Connection<B>> {
    fn most(&self) -> usize {
        self.lock().as_ref().map_or(0, http2::Connection::current_max_send_streams)
    }
}

impl<B: Posted> Limit for Arc<Driven<Connection<B>>> {
    fn most(&self) -> usize {
        Driven::most(self)
    }
}

/// Spawns what a connection of HTTP/2 consists of. Until its peer has said how many calls it takes, whoever waits for
/// that looks again whenever something has come.
#[derive(Clone, Default)]
struct Spawner(Arc<First>);

#[derive(Default)]
struct First {
    is_settled: AtomicBool,
    over: AtomicBool,
    waker: AtomicWaker,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        if self.0.is_settled.load(Ordering::Relaxed) {
            tokio::spawn(future);
            return;
        }
        let first = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                if !first.is_settled.load(Ordering::Relaxed) {
                    first.waker.wake();
                }
                polled
            })
            .await;
        });
    }
}
