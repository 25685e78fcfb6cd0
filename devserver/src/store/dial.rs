//! How a connection to Redis comes about: name, network, TLS, login, and a trial of all that will be asked.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use weir::config::{self, Transport};
use weir::store::redis::{Cause, Codec, Forbidden, Garbled, Moment, Told};
use weir::time::Instant;

use super::exchange::{Verb, cause, send, words};
use super::traffic::{Counted, Traffic};
use crate::race::race;

/// To be connected and let in; a reply has a bound of its own.
const DIAL: Duration = Duration::from_secs(2);

/// Addresses of a name that are tried at most; it has few.
const MOST_ADDRESSES: usize = 8;

/// What reads and writes for a connection.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The way to one Redis.
pub(super) struct Dialler {
    pub(super) place: config::Redis,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) codec: Codec,
}

/// A connection, and what Redis does not let this user do though it would be of use.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
    pub(super) traffic: Traffic,
    pub(super) missed: Forbidden,
}

/// Why there is no connection. It shows no address and no password.
#[derive(Debug)]
pub(super) enum Unreachable {
    Connect(io::Error),
    Redis(RedisError),
    Forbidden(Forbidden),
    NoHost,
    Timeout,
    Garbled,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Redis(error) => f.write_str(&words(error)),
            Self::Forbidden(forbidden) => {
                write!(f, "{}:", Cause::Forbidden.why())?;
                forbidden.names().try_for_each(|name| write!(f, " {name}"))
            }
            Self::NoHost => f.write_str("no host that a certificate could be for"),
            Self::Timeout => f.write_str("no reply in time"),
            Self::Garbled => f.write_str("a reply was not one to its command"),
        }
    }
}

impl Dialler {
    /// `trying` what will be asked as well.
    pub(super) async fn dial(&self, trying: bool) -> Result<Dialled, Unreachable> {
        let patience = DIAL.max(self.place.timeout);
        let traffic = Traffic::default();
        let connected = timeout(patience, self.connect(traffic.clone())).await;
        let (connection, driver) = connected.map_err(|_| Unreachable::Timeout)??;
        let mut dialled = Dialled { connection, driver, traffic, missed: Forbidden::default() };
        if !trying {
            return Ok(dialled);
        }
        let Dialled { connection, driver, missed, .. } = &mut dialled;
        let trial = timeout(self.place.timeout * 4, self.try_all(connection));
        // Nothing goes to and fro but what the driver carries.
        let tried = tokio::select! {
            tried = trial => tried.map_err(|_| Unreachable::Timeout)??,
            () = driver => return Err(Unreachable::Connect(io::ErrorKind::ConnectionReset.into())),
        };
        if !tried.is_bearable() {
            return Err(Unreachable::Forbidden(tried));
        }
        *missed = tried;
        Ok(dialled)
    }

    /// Writes something that means nothing, and runs each command that scripts run. What is forbidden is told; any other
    /// fault says that there is no store.
    async fn try_all(&self, connection: &mut MultiplexedConnection) -> Result<Forbidden, Unreachable> {
        let mut forbidden = Forbidden::default();
        let mut set = redis::cmd("SET");
        set.arg(self.codec.probe_key()).arg("").arg("PX").arg(1000);
        for (name, command) in [("set", set), ("ping", redis::cmd("PING"))] {
            let reply = connection.send_packed_command(&command).await;
            allowed(reply.and_then(redis::Value::extract_error), name, &mut forbidden)?;
        }
        let moment = Moment { now: Instant::default(), nonce: 1 };
        let trial = self.codec.trial(moment);
        for (name, verb) in [("eval", Verb::Whole), ("evalsha", Verb::Known)] {
            let Some(value) = allowed(send(connection, verb, &trial).await, name, &mut forbidden)? else {
                continue;
            };
            let Told { answer, .. } =
                self.codec.tried(&trial, value).map_err(|Garbled| Unreachable::Garbled)?;
            forbidden.join(answer);
        }
        Ok(forbidden)
    }

    async fn connect(&self, traffic: Traffic) -> Result<(MultiplexedConnection, Driver), Unreachable> {
        let place = &self.place;
        let addresses = lookup_host((place.host.as_str(), place.port)).await.map_err(Unreachable::Connect)?;
        let mut fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let raced = race(addresses.take(MOST_ADDRESSES), TcpStream::connect, |_, error| {
            fault = error;
            ControlFlow::<()>::Continue(())
        });
        let Some(Ok((_, stream))) = raced.await else { return Err(Unreachable::Connect(fault)) };
        // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
        let _ = stream.set_nodelay(true);
        let stream = Counted { stream, traffic };
        match place.transport {
            Transport::Plain => self.greet(stream).await,
            Transport::Tls => {
                let name = ServerName::try_from(place.host.clone()).map_err(|_| Unreachable::NoHost)?;
                let connector = TlsConnector::from(Arc::clone(&self.tls));
                self.greet(connector.connect(name, stream).await.map_err(Unreachable::Connect)?).await
            }
        }
    }

    async fn greet<S>(&self, stream: S) -> Result<(MultiplexedConnection, Driver), Unreachable>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let place = &self.place;
        let mut account =
            RedisConnectionInfo::default().set_db(place.database.into()).set_skip_set_lib_name();
        if let Some(user) = &place.user {
            account = account.set_username(user);
        }
        if let Some(password) = &place.password {
            account = account.set_password(password.expose());
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&account, stream, config).await;
        let (connection, driver) = made.map_err(Unreachable::Redis)?;
        Ok((connection, Box::pin(driver)))
    }
}

/// What was replied, unless that is that the user may not.
fn allowed<T>(
    reply: Result<T, RedisError>,
    command: &str,
    forbidden: &mut Forbidden,
) -> Result<Option<T>, Unreachable> {
    match reply {
        Ok(value) => Ok(Some(value)),
        Err(error) if cause(&error) == Some(Cause::Forbidden) => {
            let is_of_key = error.detail().is_some_and(|detail| detail.contains("access"));
            // A script begins with the time, and ends where it may not have it.
            let is_inside = error.code() == Some("ERR");
            forbidden.note(match () {
                () if is_of_key => "keys",
                () if is_inside => "time",
                () => command,
            });
            Ok(None)
        }
        Err(error) => Err(Unreachable::Redis(error)),
    }
}
