//! A connection to Redis that many requests share, and what is done when it fails.
//!
//! Commands go out as they come and replies come back in their order. A reply that was not asked for spoils all that
//! follow, and so does silence: the connection is dropped with everything on it, and nothing is read from it again. A
//! reply that is late while others come fails its own call only. While there is no connection, requests do not wait for
//! one. What is long travels by itself ([`super::lanes`]).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use weir::store::protocol::StoreLost;
use weir::store::redis::{Cause, Codec, Command, Garbled, Moment, Told, Value};
use weir::telemetry::metrics::Family;

use super::dial::{Dialled, Dialler, Unreachable};
use super::exchange::{cause, exchange, is_of_one_key, is_reply, words};
use super::fault::Fault;
use super::lanes::Lanes;
use super::traffic::Traffic;
use crate::metrics::Metrics;

/// Between two attempts to connect: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A connection over which no reply came for so long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(5);

/// A clone is the same connection.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    dialler: Dialler,
    /// For what is long.
    lanes: Lanes,
    /// How long a reply is waited for.
    patience: Duration,
    metrics: Metrics,
    line: Mutex<Option<Line>>,
    lost: Notify,
    /// Why there is no line. It shows no address and no password.
    why: Mutex<Option<String>>,
}

/// A connection that works, as far as is known.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    /// What reads and writes; ended, so is the connection.
    pub(super) driver: AbortHandle,
    /// Whether a reply has come since this was last looked at.
    is_used: Arc<AtomicBool>,
    pub(super) traffic: Traffic,
}

/// What came to a command, and over which line.
pub(super) struct Reply {
    value: Value,
    line: Line,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(dialler: Dialler, patience: Duration, metrics: Metrics) -> Self {
        let (line, lost, why) = (Mutex::default(), Notify::new(), Mutex::default());
        let lanes = Lanes::default();
        Self(Arc::new(Inner { dialler, lanes, patience, metrics, line, lost, why }))
    }

    /// Connects, and connects again for as long as this runtime runs.
    pub(super) async fn keep(&self) {
        let first = self.connect().await;
        if let Err(why) = &first {
            tracing::error!("the store cannot be reached, limits are kept by each process: {why}");
        }
        let link = self.clone();
        tokio::spawn(async move {
            let mut told = first.err();
            loop {
                if told.is_none() {
                    link.until_lost().await;
                    tracing::warn!("the store is lost: {}", link.why().unwrap_or_default());
                }
                link.reconnect(told.take()).await;
                tracing::info!("the store is there again");
            }
        });
    }

    /// Asks a connection that nobody uses whether it is there still, so that no call finds out that it is not: firewalls
    /// forget what is silent, and tell nobody.
    async fn until_lost(&self) {
        let ping = redis::cmd("PING");
        while timeout(IDLE, self.0.lost.notified()).await.is_err() {
            let line = lock(&self.0.line).clone();
            let Some(mut line) = line.filter(|line| !line.is_used.swap(false, Ordering::Relaxed)) else {
                continue;
            };
            let ponged = timeout(self.0.patience, line.connection.send_packed_command(&ping)).await;
            // A broken connection is noticed by whoever reads from it.
            if ponged.is_err() {
                self.0.metrics.store_faults(Fault::Timeout, 1);
                self.drop_line(&line, "no reply to a ping".to_owned());
            }
        }
    }

    /// Why there is no connection; `None` where there is one.
    pub(super) fn why(&self) -> Option<String> {
        lock(&self.0.why).clone()
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        lock(&self.0.line).is_some()
    }

    /// Sends a command and reads its reply.
    pub(super) async fn run<T>(
        &self,
        command: &Command,
        read: impl FnOnce(Value) -> Result<Told<T>, Garbled>,
    ) -> Result<T, StoreLost> {
        let reply = self.send(command).await?;
        self.read(reply, read)
    }

    /// Sends a command and waits for its reply, which is to be read.
    pub(super) async fn send(&self, command: &Command) -> Result<Reply, StoreLost> {
        let metrics = &self.0.metrics;
        let line = lock(&self.0.line).clone();
        let Some(mut line) = line else {
            metrics.store_faults(Fault::Unconnected, 1);
            return Err(StoreLost);
        };
        if command.travels_alone() {
            // It is large, and few go this way.
            return Box::pin(self.send_alone(command)).await;
        }
        let heard = line.traffic.read();
        let (fault, why) = match timeout(self.0.patience, exchange(&mut line.connection, command)).await {
            Ok(Ok(value)) => {
                line.is_used.store(true, Ordering::Relaxed);
                return Ok(Reply { value, line });
            }
            Ok(Err(error)) if is_of_one_key(&error) => {
                metrics.store_faults(Fault::Refused, 1);
                return Err(StoreLost);
            }
            Ok(Err(error)) if cause(&error) == Some(Cause::Forbidden) => (Fault::Forbidden, words(&error)),
            Ok(Err(error)) if is_reply(&error) => (Fault::Refused, words(&error)),
            Ok(Err(_)) => (Fault::Connection, "the connection broke".to_owned()),
            // Replies come, and this one is late. Whoever asked is gone when it is there.
            Err(_) if line.traffic.read() != heard => {
                metrics.store_faults(Fault::Timeout, 1);
                return Err(StoreLost);
            }
            Err(_) => (Fault::Timeout, "no reply in time".to_owned()),
        };
        metrics.store_faults(fault, 1);
        self.drop_line(&line, why);
        Err(StoreLost)
    }

    async fn send_alone(&self, command: &Command) -> Result<Reply, StoreLost> {
        let Inner { dialler, lanes, patience, metrics, .. } = &*self.0;
        let dial = Box::pin(async {
            let dialled = dialler.dial(false).await.ok()?;
            Some(self.line(dialled))
        });
        let sent = lanes.send(command, dial, *patience).await;
        sent.map(|(value, line)| Reply { value, line }).map_err(|fault| {
            metrics.store_faults(fault, 1);
            StoreLost
        })
    }

    /// The reply to an open with the long answers that it only names.
    pub(super) async fn complete(
        &self,
        opening: &Command,
        reply: Reply,
        codec: &Codec,
        moment: Moment,
    ) -> Result<Reply, StoreLost> {
        let Some(rest) = codec.rest(opening, &reply.value, moment) else { return Ok(reply) };
        let Reply { value: found, line } = self.send(&rest).await?;
        let Ok(value) = codec.whole(reply.value, &rest, found) else {
            self.0.metrics.store_faults(Fault::Garbled, 1);
            self.drop_line(&line, "a reply was not one to its command".to_owned());
            return Err(StoreLost);
        };
        Ok(Reply { value, line: reply.line })
    }

    pub(super) fn read<T>(
        &self,
        Reply { value, line }: Reply,
        read: impl FnOnce(Value) -> Result<Told<T>, Garbled>,
    ) -> Result<T, StoreLost> {
        let metrics = &self.0.metrics;
        let Ok(Told { answer, faults }) = read(value) else {
            metrics.store_faults(Fault::Garbled, 1);
            self.drop_line(&line, "a reply was not one to its command".to_owned());
            return Err(StoreLost);
        };
        metrics.store_faults(Fault::Value, faults);
        Ok(answer)
    }

    /// Tells why it cannot, once for each reason.
    async fn reconnect(&self, told: Option<String>) {
        let (mut pause, longest) = PAUSE;
        let mut told = told;
        while let Err(why) = self.connect().await {
            if told.as_ref() != Some(&why) {
                tracing::warn!("the store cannot be reached: {why}");
                told = Some(why);
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn connect(&self) -> Result<(), String> {
        let connected = self.try_to_connect().await;
        if let Err(why) = &connected {
            *lock(&self.0.why) = Some(why.clone());
        }
        connected
    }

    /// Connects and tries all that will be asked: a store that may only be read counts nothing.
    async fn try_to_connect(&self) -> Result<(), String> {
        let metrics = &self.0.metrics;
        let dialled = self.0.dialler.dial(true).await.map_err(|unreachable| {
            if let Unreachable::Forbidden(forbidden) = &unreachable {
                metrics.store_faults(Fault::Forbidden, 1);
                forbidden.names().for_each(|name| metrics.count(Family::StoreForbidden, &[name], 1));
            }
            unreachable.to_string()
        })?;
        for name in dialled.missed.names() {
            metrics.count(Family::StoreForbidden, &[name], 1);
            tracing::warn!(
                "Redis does not let this user run {name}: kept answers are bounded by `cache` alone"
            );
        }
        let line = self.line(dialled);
        let mut current = lock(&self.0.line);
        // It may have ended since.
        if line.driver.is_finished() {
            return Err("the connection broke".to_owned());
        }
        *current = Some(line);
        *lock(&self.0.why) = None;
        metrics.store_connected();
        Ok(())
    }

    /// A line whose end is noticed when it comes, not when it is next used.
    fn line(&self, dialled: Dialled) -> Line {
        let Dialled { connection, driver, traffic, .. } = dialled;
        let link = self.clone();
        let (ready, started) = tokio::sync::oneshot::channel::<Line>();
        let task = tokio::spawn(async move {
            let Ok(line) = started.await else { return };
            driver.await;
            link.drop_line(&line, "the connection broke".to_owned());
        });
        let line = Line { connection, driver: task.abort_handle(), is_used: Arc::default(), traffic };
        // It waits for it.
        let _ = ready.send(line.clone());
        line
    }

    /// Ends a connection and whatever is under way on it, unless that has been done.
    fn drop_line(&self, line: &Line, why: String) {
        line.driver.abort();
        let mut current = lock(&self.0.line);
        if current.as_ref().is_some_and(|current| current.driver.id() == line.driver.id()) {
            *current = None;
            *lock(&self.0.why) = Some(why);
            self.0.metrics.store_disconnected();
            self.0.lost.notify_one();
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
