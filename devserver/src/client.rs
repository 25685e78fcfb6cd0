//! Connections to upstreams: pooled, HTTP/1.1 or HTTP/2 as the upstream likes, TLS by rustls.

mod connector;
mod proxy;
mod stream;
mod trust;

use std::collections::BTreeMap;
use std::error::Error;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use weir::config::{Proxy, Tls, Upstream};
use weir::fingerprint::Fingerprint;
use weir::platform::{ConnectFault, Fresh, SendFault};

use self::connector::{Connector, Past, Refusals, Unconnected, Way};
pub(crate) use self::proxy::{EnvironmentProxies, ProxyRoute};
use self::proxy::{Hop, authorization};
pub(crate) use self::trust::{NativeDialer, Trust};
use crate::body::{Chunks, Parcel};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of an answer that are read ahead, and the longest head. A client that reads nothing costs a few of these.
const READ_AHEAD: usize = 64 * 1024;

/// A request's body on its way to an upstream.
pub(crate) type Outgoing = Parcel<Chunks<axum::body::Body>>;

/// Connections that are made alike, and how many of them were refused.
type Pool<B> = (Client<Connector, B>, Refusals);

/// Pools of connections, each for those that are made alike. Redirects are not followed: hyper does not know how.
#[derive(Debug)]
pub(crate) struct Clients<B = Outgoing> {
    trust: Trust,
    environment: Arc<EnvironmentProxies>,
    pools: Mutex<BTreeMap<Key, Entry<B>>>,
}

/// How the connection for a call is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialing<'a> {
    /// How long it may take in all.
    pub(crate) connect: Duration,
    pub(crate) proxy: &'a Proxy,
    pub(crate) tls: Option<&'a Tls>,
}

impl<'a> Dialing<'a> {
    pub(crate) fn of(upstream: &'a Upstream) -> Self {
        Self { connect: upstream.timeouts.connect, proxy: &upstream.proxy, tls: upstream.tls.as_ref() }
    }
}

/// What two calls have in common that may share a connection. Nothing else leads to a proxy or shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    connect: Duration,
    kept: Kept,
    proxy: ProxyKey,
    tls: Option<Fingerprint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ProxyKey {
    Environment,
    None,
    At(Fingerprint),
}

/// What becomes of a connection behind its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    ForTheNext,
    ForNobody,
    /// It is handed over to both who speak through it, which one of HTTP/2 cannot be.
    Upgraded,
}

#[derive(Debug)]
struct Entry<B> {
    pool: Pool<B>,
    last_used: Instant,
}

impl Key {
    fn of(dialing: &Dialing<'_>, kept: Kept) -> Self {
        let proxy = match dialing.proxy {
            Proxy::Environment => ProxyKey::Environment,
            Proxy::None => ProxyKey::None,
            Proxy::At(address) => ProxyKey::At(address.id()),
        };
        Self { connect: dialing.connect, kept, proxy, tls: dialing.tls.map(Tls::id) }
    }
}

impl<B> Clients<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    pub(crate) fn new(trust: Trust, environment: Arc<EnvironmentProxies>) -> Self {
        Self { trust, environment, pools: Mutex::default() }
    }

    /// A request that is [`Fresh`] goes out on a connection of its own. One of which nothing was written yet, as its
    /// connection was found closed, hyper itself sends on another.
    pub(crate) async fn send(
        &self,
        dialing: Dialing<'_>,
        request: http::Request<B>,
    ) -> Result<http::Response<Incoming>, SendFault> {
        let kept =
            if request.extensions().get::<Fresh>().is_some() { Kept::ForNobody } else { Kept::ForTheNext };
        self.send_on(dialing, kept, request).await
    }

    /// A request for a websocket, on a connection of its own.
    pub(crate) async fn upgrade(
        &self,
        dialing: Dialing<'_>,
        request: http::Request<B>,
    ) -> Result<http::Response<Incoming>, SendFault> {
        self.send_on(dialing, Kept::Upgraded, request).await
    }

    async fn send_on(
        &self,
        dialing: Dialing<'_>,
        kept: Kept,
        mut request: http::Request<B>,
    ) -> Result<http::Response<Incoming>, SendFault> {
        let is_plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let proxy = match self.environment.hop(dialing.proxy, request.uri()) {
            Hop::Through(proxy) if is_plain => Some(proxy),
            Hop::Through(_) | Hop::Direct | Hop::Unusable => None,
        };
        // Where there is a tunnel, it is asked for with it, and the upstream sees nothing of it.
        if let Some(authorization) = proxy.as_ref().and_then(authorization) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let (client, refusals) = self.pool(dialing, kept)?;
        let before = refusals.count();
        let response = client.request(request).await.map_err(|error| {
            // Of a connection that breaks before it takes a request hyper says no more than that.
            let is_refused = error.connect_info().is_none() && refusals.count() > before;
            if is_refused {
                SendFault::Connect(ConnectFault::ClientCertificateRefused)
            } else {
                fault(&error)
            }
        })?;
        if let Some(past) = response.extensions().get::<Past>() {
            past.answered();
        }
        if proxy.is_some() && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(SendFault::Connect(ConnectFault::ProxyCredentials));
        }
        Ok(response)
    }

    fn pool(&self, dialing: Dialing<'_>, kept: Kept) -> Result<Pool<B>, SendFault> {
        let (key, now) = (Key::of(&dialing, kept), Instant::now());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = pools.get_mut(&key) {
            entry.last_used = now;
            return Ok(entry.pool.clone());
        }
        // Those of certificates that were replaced: they have no connection any more.
        pools.retain(|_, entry| now.duration_since(entry.last_used) < IDLE);
        let pool = self.open(dialing, kept)?;
        pools.insert(key, Entry { pool: pool.clone(), last_used: now });
        Ok(pool)
    }

    fn open(&self, dialing: Dialing<'_>, kept: Kept) -> Result<Pool<B>, SendFault> {
        let tls = match dialing.tls {
            None => Arc::clone(self.trust.config()),
            // A document with files that cannot be used was refused.
            Some(tls) => {
                self.trust.with(tls).map_err(|_| SendFault::Connect(ConnectFault::TlsFailed))?.into()
            }
        };
        let tls: Arc<ClientConfig> = match kept {
            Kept::ForTheNext | Kept::ForNobody => tls,
            Kept::Upgraded => {
                let mut http1 = ClientConfig::clone(&tls);
                http1.alpn_protocols = vec![b"http/1.1".to_vec()];
                Arc::new(http1)
            }
        };
        let (proxy, environment) = (dialing.proxy.clone(), Arc::clone(&self.environment));
        let way = Way { proxy, environment, tls: Arc::clone(self.trust.config()) };
        let mut builder = Client::builder(TokioExecutor::new());
        match kept {
            Kept::ForTheNext => builder.pool_idle_timeout(IDLE),
            Kept::ForNobody | Kept::Upgraded => builder.pool_max_idle_per_host(0),
        };
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).http1_max_buf_size(READ_AHEAD);
        let connector = Connector::new(dialing.connect, tls, way);
        let refusals = connector.refusals().clone();
        Ok((builder.build(connector), refusals))
    }
}

fn fault(error: &legacy::Error) -> SendFault {
    let causes = || iter::successors(error.source(), |error| (*error).source());
    if error.is_connect() {
        return match causes().find_map(|error| error.downcast_ref()) {
            Some(Unconnected(ConnectFault::TimedOut)) => SendFault::ConnectTimeout,
            Some(Unconnected(cause)) => SendFault::Connect(*cause),
            None => SendFault::Connect(ConnectFault::Unknown),
        };
    }
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let Some(past) = extensions.get::<Past>() else { return SendFault::Broken };
    if past.has_refused() {
        return SendFault::Connect(ConnectFault::ClientCertificateRefused);
    }
    let is_stale = match causes().find_map(|error| error.downcast_ref::<h2::Error>()) {
        // What has come lately on a connection of HTTP/2 may belong to other calls; of this one there was no head.
        Some(error) => {
            let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            past.is_used() && (is_refused || error.is_io() || error.is_go_away())
        }
        None => past.is_stale(),
    };
    if is_stale { SendFault::Stale } else { SendFault::Broken }
}
