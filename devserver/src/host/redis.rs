//! Spin's outbound Redis.
//!
//! Spin opens a new TCP connection each time a component asks for one, and drops it with the instance. So does this
//! host unless told otherwise: what is measured here, and the way a Redis that is short of connections makes
//! itself felt, is then what a deployment shows. `--redis-connection shared` is for asking what a host that keeps
//! its connections would gain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo as _};
use redis::{RedisConnectionInfo, RedisError, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::fermyon::spin::redis::{Error, Host, HostConnection, RedisParameter, RedisResult};
use super::server::Settings;
use crate::cli::RedisConnection;

/// To be connected and let in.
const DIAL: Duration = Duration::from_secs(10);

/// For a reply. Spin waits for ever; an instance is held as long.
const REPLY: Duration = Duration::from_secs(30);

/// How connections are opened, for one thread.
pub(super) struct Dialler {
    tls: Arc<ClientConfig>,
    /// By address; empty where each instance has its own.
    shared: Mutex<BTreeMap<String, MultiplexedConnection>>,
}

/// One instance's connections.
#[derive(Debug)]
pub(super) struct Redis {
    settings: Arc<Settings>,
    dialler: Arc<Dialler>,
    open: ResourceTable,
}

#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Connection(MultiplexedConnection);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Dialler {
    /// Addresses have passwords in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

/// An address in its parts.
struct Place {
    scheme: Scheme,
    host: String,
    port: u16,
    account: RedisConnectionInfo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
}

impl Place {
    fn parse(address: &str) -> Option<Self> {
        let (scheme, rest) = match address.split_once("://")? {
            ("redis", rest) => (Scheme::Plain, rest),
            ("rediss", rest) => (Scheme::Tls, rest),
            _ => return None,
        };
        // The redis crate reads addresses with TLS only if it is to do the TLS.
        let info = format!("redis://{rest}").into_connection_info().ok()?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return None };
        Some(Self { scheme, host: host.clone(), port: *port, account: info.redis_settings().clone() })
    }
}

impl Dialler {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, shared: Mutex::default() }
    }

    async fn dial(&self, address: &str) -> Result<MultiplexedConnection, Error> {
        let place = Place::parse(address).ok_or(Error::InvalidAddress)?;
        let connected = timeout(DIAL, self.connect(&place)).await;
        connected.map_err(|_| Error::Other("no connection in time".to_owned()))?
    }

    async fn connect(&self, place: &Place) -> Result<MultiplexedConnection, Error> {
        let unreachable = |e: std::io::Error| Error::Other(format!("no connection: {e}"));
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(unreachable)?;
        // A socket that cannot have Nagle's algorithm off is dead, and the first read says so.
        let _ = stream.set_nodelay(true);
        match place.scheme {
            Scheme::Plain => greet(place, stream).await,
            Scheme::Tls => {
                let name = ServerName::try_from(place.host.clone()).map_err(|_| Error::InvalidAddress)?;
                let connector = TlsConnector::from(Arc::clone(&self.tls));
                greet(place, connector.connect(name, stream).await.map_err(unreachable)?).await
            }
        }
    }

    async fn shared(&self, address: &str) -> Result<MultiplexedConnection, Error> {
        let kept = self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        if let Some(mut connection) = kept
            && redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok()
        {
            return Ok(connection);
        }
        let connection = self.dial(address).await?;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.insert(address.to_owned(), connection.clone());
        Ok(connection)
    }
}

/// Says who asks, and lets a task of this thread carry what goes to and fro.
async fn greet<S>(place: &Place, stream: S) -> Result<MultiplexedConnection, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(REPLY));
    let made = MultiplexedConnection::new_with_config(&place.account, stream, config).await;
    let (connection, driver) = made.map_err(|e| other(&e))?;
    // It ends with the last connection that uses it.
    tokio::spawn(driver);
    Ok(connection)
}

impl Redis {
    pub(super) fn new(settings: Arc<Settings>, dialler: Arc<Dialler>) -> Self {
        Self { settings, dialler, open: ResourceTable::new() }
    }

    fn is_allowed(&self, address: &str) -> bool {
        let Ok(uri) = address.parse::<Uri>() else { return false };
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let is_allowed = self.settings.allowed.allows(scheme, host, uri.port_u16());
        if !is_allowed {
            tracing::warn!(scheme, host, "a Redis that allowed_outbound_hosts does not name was refused");
        }
        is_allowed
    }

    async fn ask<T: FromRedisValue>(
        &mut self,
        connection: &Resource<Connection>,
        command: &Cmd,
    ) -> Result<T, Error> {
        let held = self.open.get_mut(connection);
        let Connection(connection) = held.map_err(|_| Error::Other("no such connection".to_owned()))?;
        command.query_async(connection).await.map_err(|e| match e.kind() {
            ErrorKind::UnexpectedReturnType => Error::TypeError,
            _ => other(&e),
        })
    }
}

fn other(error: &RedisError) -> Error {
    Error::Other(error.to_string())
}

impl Host for Redis {}

impl HostConnection for Redis {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        if !self.is_allowed(&address) {
            return Err(Error::InvalidAddress);
        }
        let connection = match self.settings.redis_connection {
            RedisConnection::PerOpen => self.dialler.dial(&address).await?,
            RedisConnection::Shared => self.dialler.shared(&address).await?,
        };
        self.open.push(Connection(connection)).map_err(|_| Error::TooManyConnections)
    }

    async fn publish(
        &mut self,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<(), Error> {
        self.ask(&connection, redis::cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    async fn get(&mut self, connection: Resource<Connection>, key: String) -> Result<Option<Vec<u8>>, Error> {
        self.ask(&connection, redis::cmd("GET").arg(key)).await
    }

    async fn set(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        self.ask(&connection, redis::cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(&mut self, connection: Resource<Connection>, key: String) -> Result<i64, Error> {
        self.ask(&connection, redis::cmd("INCRBY").arg(key).arg(1)).await
    }

    async fn del(&mut self, connection: Resource<Connection>, keys: Vec<String>) -> Result<u32, Error> {
        self.ask(&connection, redis::cmd("DEL").arg(keys)).await
    }

    async fn sadd(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        self.ask(&connection, redis::cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Vec<String>, Error> {
        self.ask(&connection, redis::cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        self.ask(&connection, redis::cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let mut packed = redis::cmd(&command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => packed.arg(number),
                RedisParameter::Binary(bytes) => packed.arg(bytes),
            };
        }
        let value = self.ask(&connection, &packed).await?;
        let mut results = Vec::new();
        flatten(value, &mut results)?;
        Ok(results)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.open.delete(connection)?;
        Ok(())
    }
}

/// Arrays in arrays become one list, as Spin has it; what RESP2 does not know is an error.
fn flatten(value: Value, results: &mut Vec<RedisResult>) -> Result<(), Error> {
    match value {
        Value::Nil => results.push(RedisResult::Nil),
        Value::Int(number) => results.push(RedisResult::Int64(number)),
        Value::BulkString(bytes) => results.push(RedisResult::Binary(bytes)),
        Value::SimpleString(text) => results.push(RedisResult::Status(text)),
        Value::Okay => results.push(RedisResult::Status("OK".to_owned())),
        Value::Array(values) => {
            for value in values {
                flatten(value, results)?;
            }
        }
        Value::ServerError(error) => return Err(Error::Other(error.to_string())),
        _ => return Err(Error::Other("a reply of a kind that Spin does not pass on".to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (address, parts) in [
            ("redis://127.0.0.1", Some((Scheme::Plain, "127.0.0.1", 6379))),
            ("redis://user:secret@store:1/2", Some((Scheme::Plain, "store", 1))),
            ("rediss://:secret@store:6380", Some((Scheme::Tls, "store", 6380))),
            ("http://store", None),
            ("store:6379", None),
            ("unix:///tmp/socket", None),
        ] {
            let place = Place::parse(address);
            let found = place.as_ref().map(|place| (place.scheme, place.host.as_str(), place.port));
            assert_eq!(found, parts, "{address}");
        }
        assert_eq!(Place::parse("redis://user:secret@store:1/2").unwrap().account.db(), 2);
    }

    #[test]
    fn replies_become_one_flat_list() {
        let inner = Value::Array(vec![Value::Okay, Value::BulkString(b"b".to_vec())]);
        let reply = Value::Array(vec![Value::Int(1), inner, Value::Nil, Value::SimpleString("s".to_owned())]);
        let mut results = Vec::new();
        flatten(reply, &mut results).unwrap();
        let shown: Vec<String> = results.iter().map(|result| format!("{result:?}")).collect();
        assert_eq!(shown.len(), 5, "{shown:?}");
        assert!(matches!(&results[0], RedisResult::Int64(1)), "{shown:?}");
        assert!(matches!(&results[1], RedisResult::Status(ok) if ok == "OK"), "{shown:?}");
        assert!(matches!(&results[2], RedisResult::Binary(bytes) if bytes == b"b"), "{shown:?}");
        assert!(matches!(&results[3], RedisResult::Nil), "{shown:?}");
        assert!(flatten(Value::Double(0.5), &mut Vec::new()).is_err());
    }
}
