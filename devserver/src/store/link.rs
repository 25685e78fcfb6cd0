//! A connection to Redis that many requests share, and what is done when it fails.
//!
//! Commands go out as they come and replies come back in their order. So a reply that is late, or none that
//! was asked for, spoils all that follow: the connection is dropped with everything on it, and nothing is
//! read from it again. While there is none, requests do not wait for one.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use weir::config::{self, Transport};
use weir::platform::StoreLost;
use weir::redis::{Command, Garbled, Told, Value};

use super::fault::Fault;
use crate::metrics::Metrics;

/// Between two attempts to connect: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// To be connected and let in; a reply has a bound of its own.
const DIAL: Duration = Duration::from_secs(2);

/// A clone is the same connection.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    place: config::Redis,
    tls: Arc<ClientConfig>,
    /// What may be written to find out whether anything may.
    probe: String,
    metrics: Metrics,
    line: Mutex<Option<Line>>,
    lost: Notify,
}

/// A connection that works, as far as is known.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    /// What reads and writes; ended, so is the connection.
    driver: AbortHandle,
}

/// What came to a command, and over which line.
pub(super) struct Reply {
    value: Value,
    line: Line,
}

/// Why there is no line. It shows no address and no password.
#[derive(Debug)]
enum Unreachable {
    Connect(io::Error),
    Redis(RedisError),
    NoHost,
    Timeout,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            // The detail of an error may quote what was sent.
            Self::Redis(error) => write!(f, "refused: {}", error.code().unwrap_or("no RESP")),
            Self::NoHost => f.write_str("no host that a certificate could be for"),
            Self::Timeout => f.write_str("no reply in time"),
        }
    }
}

impl Link {
    pub(super) fn new(place: config::Redis, tls: Arc<ClientConfig>, probe: String, metrics: Metrics) -> Self {
        let (line, lost) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { place, tls, probe, metrics, line, lost }))
    }

    /// Connects, and connects again for as long as this runtime runs.
    pub(super) async fn keep(&self) {
        let first = self.connect().await;
        if let Err(why) = &first {
            tracing::error!("the store cannot be reached, limits are kept by each process: {why}");
        }
        let link = self.clone();
        tokio::spawn(async move {
            let mut is_up = first.is_ok();
            loop {
                if is_up {
                    link.0.lost.notified().await;
                    tracing::warn!("the store is lost");
                }
                link.reconnect().await;
                tracing::info!("the store is there again");
                is_up = true;
            }
        });
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
        let line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut line) = line else {
            metrics.store_faults(Fault::Unconnected, 1);
            return Err(StoreLost);
        };
        let fault = match timeout(self.0.place.timeout, exchange(&mut line.connection, command)).await {
            Ok(Ok(value)) => return Ok(Reply { value, line }),
            Ok(Err(error)) if is_of_one_key(&error) => {
                metrics.store_faults(Fault::Refused, 1);
                return Err(StoreLost);
            }
            Ok(Err(error)) if is_reply(&error) => Fault::Refused,
            Ok(Err(_)) => Fault::Connection,
            Err(_) => Fault::Timeout,
        };
        metrics.store_faults(fault, 1);
        self.drop_line(&line);
        Err(StoreLost)
    }

    pub(super) fn read<T>(
        &self,
        Reply { value, line }: Reply,
        read: impl FnOnce(Value) -> Result<Told<T>, Garbled>,
    ) -> Result<T, StoreLost> {
        let metrics = &self.0.metrics;
        let Ok(Told { answer, faults }) = read(value) else {
            metrics.store_faults(Fault::Garbled, 1);
            self.drop_line(&line);
            return Err(StoreLost);
        };
        metrics.store_faults(Fault::Value, faults);
        Ok(answer)
    }

    async fn reconnect(&self) {
        let (mut pause, longest) = PAUSE;
        while let Err(why) = self.connect().await {
            tracing::debug!("the store cannot be reached: {why}");
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Connects and writes: a store that may only be read counts nothing.
    async fn connect(&self) -> Result<(), Unreachable> {
        let patience = self.0.place.timeout;
        let mut line = timeout(DIAL.max(patience), self.dial()).await.map_err(|_| Unreachable::Timeout)??;
        let mut probe = redis::cmd("SET");
        probe.arg(&self.0.probe).arg("").arg("PX").arg(1000);
        let probed = timeout(patience, line.connection.send_packed_command(&probe)).await;
        let probed = match probed {
            Ok(reply) => reply.and_then(redis::Value::extract_error).map(drop).map_err(Unreachable::Redis),
            Err(_) => Err(Unreachable::Timeout),
        };
        if let Err(why) = probed {
            line.driver.abort();
            return Err(why);
        }
        let mut current = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended since.
        if line.driver.is_finished() {
            return Err(Unreachable::Timeout);
        }
        *current = Some(line);
        self.0.metrics.store_connected();
        Ok(())
    }

    async fn dial(&self) -> Result<Line, Unreachable> {
        let place = &self.0.place;
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
        let stream = stream.map_err(Unreachable::Connect)?;
        // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
        let _ = stream.set_nodelay(true);
        let mut account =
            RedisConnectionInfo::default().set_db(place.database.into()).set_skip_set_lib_name();
        if let Some(user) = &place.user {
            account = account.set_username(user);
        }
        if let Some(password) = &place.password {
            account = account.set_password(password.expose());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        match place.transport {
            Transport::Plain => {
                let made = MultiplexedConnection::new_with_config(&account, stream, config).await;
                let (connection, driver) = made.map_err(Unreachable::Redis)?;
                Ok(self.line(connection, driver))
            }
            Transport::Tls => {
                let name = ServerName::try_from(place.host.clone()).map_err(|_| Unreachable::NoHost)?;
                let connector = TlsConnector::from(Arc::clone(&self.0.tls));
                let stream = connector.connect(name, stream).await.map_err(Unreachable::Connect)?;
                let made = MultiplexedConnection::new_with_config(&account, stream, config).await;
                let (connection, driver) = made.map_err(Unreachable::Redis)?;
                Ok(self.line(connection, driver))
            }
        }
    }

    /// A line whose end is noticed when it comes, not when it is next used.
    fn line(
        &self,
        connection: MultiplexedConnection,
        driver: impl Future<Output = ()> + Send + 'static,
    ) -> Line {
        let link = self.clone();
        let (ready, started) = tokio::sync::oneshot::channel::<Line>();
        let task = tokio::spawn(async move {
            let Ok(line) = started.await else { return };
            driver.await;
            link.drop_line(&line);
        });
        let line = Line { connection, driver: task.abort_handle() };
        // It waits for it.
        let _ = ready.send(line.clone());
        line
    }

    /// Ends a connection and whatever is under way on it, unless that has been done.
    fn drop_line(&self, line: &Line) {
        line.driver.abort();
        let mut current = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.driver.id() == line.driver.id()) {
            *current = None;
            self.0.metrics.store_disconnected();
            self.0.lost.notify_one();
        }
    }
}

/// By the script's name; whole where Redis does not know it.
async fn exchange(connection: &mut MultiplexedConnection, command: &Command) -> Result<Value, RedisError> {
    let known = send(connection, "EVALSHA", command.script.sha1, command).await;
    match known {
        Err(error) if error.code() == Some("NOSCRIPT") => {
            send(connection, "EVAL", command.script.source, command).await
        }
        known => known,
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    verb: &str,
    script: &str,
    command: &Command,
) -> Result<Value, RedisError> {
    let words = || command.keys.iter().chain(command.arguments());
    // With the number of keys.
    let length = verb.len() + script.len() + 4 + words().map(<[u8]>::len).sum::<usize>();
    let mut packed = Cmd::with_capacity(words().count() + 3, length);
    packed.arg(verb).arg(script).arg(command.keys.len());
    for word in words() {
        packed.arg(word);
    }
    connection.send_packed_command(&packed).await.and_then(neutral)
}

/// What scripts do not reply is nothing, which no reader takes for an answer.
fn neutral(value: redis::Value) -> Result<Value, RedisError> {
    Ok(match value {
        redis::Value::Int(int) => Value::Int(int),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes.into()),
        redis::Value::Array(values) => {
            Value::Array(values.into_iter().map(neutral).collect::<Result<_, _>>()?)
        }
        redis::Value::ServerError(error) => return Err(error.into()),
        _ => Value::Nil,
    })
}

/// Redis has answered, and the answer is an error: the connection is in step.
fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// One value is not what it should be; the store is as good as before.
fn is_of_one_key(error: &RedisError) -> bool {
    is_reply(error) && matches!(error.code(), Some("WRONGTYPE" | "ERR"))
}
