//! Connections to upstreams: pooled, HTTP/1.1 or HTTP/2 as the upstream likes, TLS by rustls.

mod connection;
mod connector;
mod lease;
mod names;
mod network;
mod pool;
mod proxy;
mod stream;
mod trust;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::PROXY_AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::Instant;
use weir::cache::fingerprint::Fingerprint;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::Upstream;
use weir::routing::upstream::connection::{Proxy, Tls};
use weir::routing::upstream::dispatch::{Dispatch, Fresh, SendFault};
use weir::telemetry::metrics::Family;

use self::connection::Posted;
use self::connector::{Connector, Way};
pub(crate) use self::lease::Carried;
use self::lease::{Lease, Unanswered};
use self::pool::{Pool, Terms};
pub(crate) use self::proxy::{EnvironmentProxies, ProxyRoute};
use self::proxy::{Hop, authorization};
pub(crate) use self::trust::{NativeDialer, Trust};
use crate::body::{Chunks, Parcel};
use crate::metrics::Metrics;

/// How often connections are looked at that are too old or idle for too long.
const SWEEP: Duration = Duration::from_secs(10);

/// Connections at most that a request is given which have ended before they took it.
const MOST_ENDED: u32 = 8;

/// A request's body on its way to an upstream.
pub(crate) type Outgoing = Parcel<Chunks<axum::body::Body>>;

/// Pools of connections, each for those that are made alike. Redirects are not followed: hyper does not know how.
#[derive(Debug)]
pub(crate) struct Clients<B: Posted = Outgoing> {
    trust: Trust,
    environment: Arc<EnvironmentProxies>,
    metrics: Metrics,
    pools: Arc<Pools<B>>,
}

#[derive(Debug)]
struct Pools<B: Posted>(Mutex<HashMap<Key, Arc<Pool<B>>>>);

impl<B: Posted> Pools<B> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Pool<B>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the connection for a call is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialing<'a> {
    /// Whose call it is, for those who count.
    pub(crate) upstream: &'a str,
    /// How long it may take in all.
    pub(crate) connect: Duration,
    /// From which age on a connection takes no new call.
    pub(crate) age: Duration,
    /// Connections of HTTP/2 at most.
    pub(crate) http2_connections: usize,
    pub(crate) proxy: &'a Proxy,
    pub(crate) tls: Option<&'a Tls>,
}

impl<'a> Dialing<'a> {
    pub(crate) fn of(upstream: &'a Upstream) -> Self {
        Self {
            upstream: &upstream.name,
            connect: upstream.timeouts.connect,
            age: upstream.connection_age,
            http2_connections: upstream.http2_connections,
            proxy: &upstream.proxy,
            tls: upstream.tls.as_ref(),
        }
    }

    fn terms(&self) -> Terms {
        Terms { connect: self.connect, age: self.age, most: self.http2_connections }
    }
}

/// What two calls have in common that may share a connection. Nothing else leads to a proxy or shows a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    authority: Authority,
    is_plain: bool,
    protocol: Protocol,
    proxy: ProxyKey,
    tls: Option<Fingerprint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ProxyKey {
    Environment,
    None,
    At(Fingerprint),
}

/// What a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Any,
    /// It is handed over to both who speak through it, which one of HTTP/2 cannot be.
    Http1,
}

impl Key {
    fn of(dialing: &Dialing<'_>, to: &Uri, protocol: Protocol) -> Option<Self> {
        let proxy = match dialing.proxy {
            Proxy::Environment => ProxyKey::Environment,
            Proxy::None => ProxyKey::None,
            Proxy::At(address) => ProxyKey::At(address.id()),
        };
        let authority = to.authority()?.clone();
        let is_plain = is_plain(to);
        Some(Self { authority, is_plain, protocol, proxy, tls: dialing.tls.map(Tls::id) })
    }
}

fn is_plain(to: &Uri) -> bool {
    to.scheme() == Some(&Scheme::HTTP)
}

impl<B: Posted> Clients<B> {
    pub(crate) fn new(trust: Trust, environment: Arc<EnvironmentProxies>, metrics: Metrics) -> Self {
        Self { trust, environment, metrics, pools: Arc::new(Pools(Mutex::default())) }
    }

    /// A request that is [`Fresh`] goes out on a connection of its own. One of which nothing was written yet, as its
    /// connection was found closed, goes out on another.
    pub(crate) async fn send(
        &self,
        dialing: Dialing<'_>,
        mut request: Request<B>,
        dispatch: &Dispatch,
    ) -> Result<Response<Carried<B>>, SendFault> {
        let (pool, reader) =
            (self.pool(&dialing, request.uri(), Protocol::Any)?, self.show(&dialing, &mut request));
        if request.extensions().get::<Fresh>().is_some() {
            let answer = pool.own(dialing.terms()).await?.send(request, dispatch).await;
            return checked(answer.map_err(Unanswered::into_fault)?, reader);
        }
        let mut ended = 0;
        loop {
            let lease = self.lease(&pool, &dialing, dispatch).await?;
            match lease.send(request, dispatch).await {
                Ok(answer) => return checked(answer, reader),
                Err(Unanswered::Unsent(back)) if ended < MOST_ENDED => request = back,
                Err(unanswered) => return Err(unanswered.into_fault()),
            }
            ended += 1;
        }
    }

    /// The same where the answer may take so long behind each connection; `None` where it takes longer.
    #[cfg(feature = "wasm")]
    pub(crate) async fn send_within(
        &self,
        dialing: Dialing<'_>,
        mut request: Request<B>,
        patience: Duration,
    ) -> Option<Result<Response<Carried<B>>, SendFault>> {
        let pool = match self.pool(&dialing, request.uri(), Protocol::Any) {
            Ok(pool) => pool,
            Err(fault) => return Some(Err(fault)),
        };
        let (dispatch, mut ended) = (Dispatch::default(), 0);
        loop {
            let lease = match self.lease(&pool, &dialing, &dispatch).await {
                Ok(lease) => lease,
                Err(fault) => return Some(Err(fault)),
            };
            match tokio::time::timeout(patience, lease.send(request, &dispatch)).await {
                Err(_) => return None,
                Ok(Ok(answer)) => return Some(Ok(answer)),
                Ok(Err(Unanswered::Unsent(back))) if ended < MOST_ENDED => request = back,
                Ok(Err(unanswered)) => return Some(Err(unanswered.into_fault())),
            }
            ended += 1;
        }
    }

    /// Room for one call.
    async fn lease(
        &self,
        pool: &Arc<Pool<B>>,
        dialing: &Dialing<'_>,
        dispatch: &Dispatch,
    ) -> Result<Lease<B>, SendFault> {
        let queued = || Queued::new(&self.metrics, dialing.upstream);
        pool.lease(dialing.terms(), dispatch, queued).await
    }

    /// A request for a websocket, on a connection of its own.
    pub(crate) async fn upgrade(
        &self,
        dialing: Dialing<'_>,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, SendFault> {
        let reader = self.show(&dialing, &mut request);
        let lease = self.pool(&dialing, request.uri(), Protocol::Http1)?.own(dialing.terms()).await?;
        checked(lease.upgrade(request).await?, reader)
    }

    /// Shows a proxy that reads the request who asks. Where there is a tunnel, it is asked for with it, and the upstream
    /// sees nothing of it.
    fn show(&self, dialing: &Dialing<'_>, request: &mut Request<B>) -> Reader {
        let proxy = match self.environment.hop(dialing.proxy, request.uri()) {
            Hop::Through(proxy) if is_plain(request.uri()) => proxy,
            Hop::Through(_) | Hop::Direct | Hop::Unusable => return Reader::Upstream,
        };
        if let Some(authorization) = authorization(&proxy) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        Reader::Proxy
    }

    fn pool(&self, dialing: &Dialing<'_>, to: &Uri, protocol: Protocol) -> Result<Arc<Pool<B>>, SendFault> {
        let key = Key::of(dialing, to, protocol).ok_or(SendFault::Connect(ConnectFault::NameUnresolved))?;
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(&key) {
            return Ok(Arc::clone(pool));
        }
        if pools.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(&self.pools)));
        }
        let connector = self.connector(dialing, protocol)?;
        let pool = Arc::new(Pool::new(to.clone(), connector, dialing.terms()));
        pools.insert(key, Arc::clone(&pool));
        Ok(pool)
    }

    fn connector(&self, dialing: &Dialing<'_>, protocol: Protocol) -> Result<Connector, SendFault> {
        let tls = match dialing.tls {
            None => Arc::clone(self.trust.config()),
            // A document with files that cannot be used was refused.
            Some(tls) => {
                self.trust.with(tls).map_err(|_| SendFault::Connect(ConnectFault::TlsFailed))?.into()
            }
        };
        let tls: Arc<ClientConfig> = match protocol {
            Protocol::Any => tls,
            Protocol::Http1 => {
                let mut http1 = ClientConfig::clone(&tls);
                http1.alpn_protocols = vec![b"http/1.1".to_vec()];
                Arc::new(http1)
            }
        };
        let (proxy, environment) = (dialing.proxy.clone(), Arc::clone(&self.environment));
        Ok(Connector::new(tls, Way { proxy, environment, tls: Arc::clone(self.trust.config()) }))
    }
}

/// Who reads a request first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Upstream,
    Proxy,
}

fn checked<T>(answer: Response<T>, reader: Reader) -> Result<Response<T>, SendFault> {
    if reader == Reader::Proxy && answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(SendFault::Connect(ConnectFault::ProxyCredentials));
    }
    Ok(answer)
}

/// Closes connections that nobody wants, until there is no pool left.
async fn sweep<B: Posted>(pools: Weak<Pools<B>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pools) = pools.upgrade() else { return };
        let (now, mut pools) = (Instant::now(), pools.lock());
        pools.retain(|_, pool| !pool.sweep(now) || Arc::strong_count(pool) > 1);
        if pools.is_empty() {
            return;
        }
    }
}

/// A call that waits for room, counted as long as it does.
struct Queued<'a> {
    metrics: &'a Metrics,
    upstream: &'a str,
    since: Instant,
}

impl<'a> Queued<'a> {
    fn new(metrics: &'a Metrics, upstream: &'a str) -> Self {
        metrics.shift(Family::StreamsQueued, &[upstream], 1);
        Self { metrics, upstream, since: Instant::now() }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let waited = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.shift(Family::StreamsQueued, &[self.upstream], -1);
        self.metrics.sample(Family::StreamWait, &[self.upstream], waited);
    }
}
