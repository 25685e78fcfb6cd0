//! Connections to upstreams: pooled, HTTP/1.1 or HTTP/2 as the upstream likes, TLS by rustls.

mod connector;

use std::collections::BTreeMap;
use std::error::Error;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use weir::platform::{ConnectFault, Fresh, SendFault};

use self::connector::{Connector, Past, Unconnected, tls_cause};
use crate::body::{Chunks, Parcel};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of an answer that are read ahead, and the longest head. A client that reads nothing costs a few of these.
const READ_AHEAD: usize = 64 * 1024;

/// A request's body on its way to an upstream.
pub(crate) type Outgoing = Parcel<Chunks<axum::body::Body>>;

type Pool<B> = Client<Connector, B>;

/// Two pools for each connect timeout: one that keeps connections, and one of connections for a single call. Redirects
/// are not followed: hyper does not know how.
#[derive(Debug)]
pub(crate) struct Clients<B = Outgoing> {
    tls: Arc<ClientConfig>,
    pools: Mutex<BTreeMap<(Duration, Kept), Pool<B>>>,
}

/// What becomes of a connection behind its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    ForTheNext,
    ForNobody,
}

impl<B> Clients<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, pools: Mutex::default() }
    }

    /// A request that is [`Fresh`] goes out on a connection of its own. One of which nothing was written yet, as its
    /// connection was found closed, hyper itself sends on another.
    pub(crate) async fn send(
        &self,
        connect: Duration,
        request: http::Request<B>,
    ) -> Result<http::Response<Incoming>, SendFault> {
        let kept =
            if request.extensions().get::<Fresh>().is_some() { Kept::ForNobody } else { Kept::ForTheNext };
        let pool = self.pool(connect, kept);
        let response = pool.request(request).await.map_err(|error| fault(&error))?;
        if let Some(past) = response.extensions().get::<Past>() {
            past.answered();
        }
        Ok(response)
    }

    fn pool(&self, connect: Duration, kept: Kept) -> Pool<B> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry((connect, kept)).or_insert_with(|| pool(connect, kept, &self.tls)).clone()
    }
}

fn pool<B>(connect: Duration, kept: Kept, tls: &Arc<ClientConfig>) -> Pool<B>
where
    B: Body<Data: Send> + Send,
{
    let mut builder = Client::builder(TokioExecutor::new());
    match kept {
        Kept::ForTheNext => builder.pool_idle_timeout(IDLE),
        Kept::ForNobody => builder.pool_max_idle_per_host(0),
    };
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(READ_AHEAD)
        .build(Connector::new(connect, tls))
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
    // With TLS 1.3 a client learns only then that its certificate is not wanted.
    if let Some(ConnectFault::ClientCertificateRefused) =
        causes().find_map(|error| error.downcast_ref().and_then(tls_cause))
    {
        return SendFault::Connect(ConnectFault::ClientCertificateRefused);
    }
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let Some(past) = extensions.get::<Past>() else { return SendFault::Broken };
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

/// Trusts what this machine trusts (`SSL_CERT_FILE` is heeded), and Mozilla's list where that is nothing.
pub(crate) fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
