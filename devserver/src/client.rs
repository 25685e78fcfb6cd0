//! Connections to upstreams: pooled, HTTP/1.1 or HTTP/2 as the upstream likes, TLS by rustls.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use weir::platform::SendFault;

use crate::body::{Chunks, Parcel};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Bytes of an answer that are read ahead, and the longest head. A client that reads nothing costs a few of these.
const READ_AHEAD: usize = 64 * 1024;

/// A request's body on its way to an upstream.
pub(crate) type Outgoing = Parcel<Chunks<axum::body::Body>>;

type Pool<B> = Client<HttpsConnector<HttpConnector>, B>;

/// One pool for each connect timeout. Redirects are not followed: hyper does not know how.
#[derive(Debug)]
pub(crate) struct Clients<B = Outgoing> {
    tls: Arc<ClientConfig>,
    pools: Mutex<BTreeMap<Duration, Pool<B>>>,
}

impl<B> Clients<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, pools: Mutex::default() }
    }

    pub(crate) async fn send(
        &self,
        connect: Duration,
        request: http::Request<B>,
    ) -> Result<http::Response<Incoming>, SendFault> {
        let pool = self.pool(connect);
        pool.request(request).await.map_err(|error| fault(&error))
    }

    fn pool(&self, connect: Duration) -> Pool<B> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(connect).or_insert_with(|| pool(connect, &self.tls)).clone()
    }
}

fn pool<B>(connect: Duration, tls: &Arc<ClientConfig>) -> Pool<B>
where
    B: Body<Data: Send> + Send,
{
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(connect));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_mins(1)));
    tcp.enforce_http(false);
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(ClientConfig::clone(tls))
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(READ_AHEAD)
        .build(https)
}

fn fault(error: &legacy::Error) -> SendFault {
    if !error.is_connect() {
        return SendFault::Broken;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
            return SendFault::ConnectTimeout;
        }
        cause = inner.source();
    }
    SendFault::Connect
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
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
