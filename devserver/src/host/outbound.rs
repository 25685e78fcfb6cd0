//! Requests that an instance makes, over connections that all instances of the thread share.
//!
//! Nobody is called whom `allowed_outbound_hosts` does not name. Redirects are not followed. The instance's own
//! bounds on waiting are kept with the error codes that Spin gives for them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::connection::Proxy;
use weir::routing::upstream::dispatch::SendFault;

use super::server::Settings;
use crate::client::{Carried, Clients, Dialing, Trust};
use crate::metrics::Metrics;

/// What Spin waits for where the instance does not say.
const UNSAID: Duration = Duration::from_mins(10);

/// From which age on a connection takes no new call, and how many there may be of HTTP/2.
const AGE: Duration = Duration::from_mins(5);
const HTTP2_CONNECTIONS: usize = 16;

/// Upstream connections of one thread.
pub(super) type Pool = Clients<Upload>;

/// No proxy is asked, whatever the environment says: Spin asks none.
pub(super) fn pool(trust: Trust) -> Pool {
    // A component counts for itself.
    Clients::new(trust, Arc::default(), Metrics::default())
}

/// One instance's way out.
#[derive(Debug)]
pub(super) struct Outbound {
    settings: Arc<Settings>,
    pool: Arc<Pool>,
    fate: Fate,
}

/// Whether the instance has gone before its time. A clone is of the same instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicBool>);

impl Fate {
    pub(super) fn seal(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_sealed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Outbound {
    pub(super) fn new(settings: Arc<Settings>, pool: Arc<Pool>, fate: Fate) -> Self {
        Self { settings, pool, fate }
    }

    fn is_allowed(&self, uri: &http::Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let is_allowed = self.settings.allowed.allows(scheme, host, uri.port_u16());
        if !is_allowed {
            tracing::warn!(scheme, host, "a host that allowed_outbound_hosts does not name was refused");
        }
        is_allowed
    }
}

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let is_allowed = self.is_allowed(request.uri());
        let (pool, fate) = (Arc::clone(&self.pool), self.fate.clone());
        Box::new(async move {
            if !is_allowed {
                return Err(Error::HttpRequestDenied);
            }
            let response = send(&pool, request, options.unwrap_or_default(), fate).await?;
            // Its connection works for itself.
            let worker: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, worker))
        })
    }
}

async fn send(
    pool: &Pool,
    mut request: Request<WasiBody>,
    options: RequestOptions,
    fate: Fate,
) -> Result<Response<WasiBody>, Error> {
    // The connection's protocol says how the host is named.
    request.headers_mut().remove(header::HOST);
    let request = request.map(|body| Upload { body, fate });
    let dialing = Dialing {
        upstream: "",
        connect: options.connect_timeout.unwrap_or(UNSAID),
        age: AGE,
        http2_connections: HTTP2_CONNECTIONS,
        proxy: &Proxy::None,
        tls: None,
    };
    let patience = options.first_byte_timeout.unwrap_or(UNSAID);
    match pool.send_within(dialing, request, patience).await {
        Some(answer) => received(answer, &options),
        None => Err(Error::ConnectionReadTimeout),
    }
}

fn received(
    answer: Result<Response<Carried<Upload>>, SendFault>,
    options: &RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let patience = options.between_bytes_timeout.unwrap_or(UNSAID);
    let answer = answer.map_err(|fault| match fault {
        SendFault::ConnectTimeout => Error::ConnectionTimeout,
        SendFault::Connect(cause) => unconnected(cause),
        // What it sent is gone; the instance does not hear that the connection was an old one.
        SendFault::Broken | SendFault::Stale | SendFault::Unprocessed => Error::ConnectionTerminated,
        SendFault::Busy => Error::ConnectionLimitReached,
    })?;
    Ok(answer.map(|body| Download { body, patience, waiting: None }.boxed_unsync()))
}

/// What Spin would say of it.
fn unconnected(cause: ConnectFault) -> Error {
    match cause {
        ConnectFault::TimedOut | ConnectFault::TlsTimedOut | ConnectFault::ProxyTimedOut => {
            Error::ConnectionTimeout
        }
        ConnectFault::NameTimedOut => Error::DnsTimeout,
        ConnectFault::ConnectionsBusy
        | ConnectFault::NoDescriptors
        | ConnectFault::NoMemory
        | ConnectFault::NoPorts => Error::ConnectionLimitReached,
        ConnectFault::NameUnresolved => Error::DnsError { rcode: None, info_code: None },
        ConnectFault::Unreachable => Error::DestinationIpUnroutable,
        ConnectFault::CertificateExpired
        | ConnectFault::CertificateNotYetValid
        | ConnectFault::CertificateOfAnotherName
        | ConnectFault::UnknownIssuer
        | ConnectFault::CertificateInvalid => Error::TlsCertificateError,
        ConnectFault::ClientCertificateRefused | ConnectFault::TlsFailed => Error::TlsProtocolError,
        ConnectFault::Forbidden => Error::HttpRequestDenied,
        ConnectFault::Broken | ConnectFault::Stale | ConnectFault::Unprocessed => Error::ConnectionTerminated,
        ConnectFault::Unknown
        | ConnectFault::Refused
        | ConnectFault::ProxyUnreachable
        | ConnectFault::ProxyCredentials
        | ConnectFault::ProxyRefused
        | ConnectFault::ProxyUnsupported => Error::ConnectionRefused,
    }
}

/// A request's body. If the instance goes while it writes one, the upstream sees it broken off, not shorter.
#[derive(Debug)]
pub(super) struct Upload {
    body: WasiBody,
    fate: Fate,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Ready(None) if self.fate.is_sealed() => {
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, of which something must come from time to time.
#[derive(Debug)]
struct Download {
    body: Carried<Upload>,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| broken(&error))));
        }
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => {
                waiting.as_mut().reset(Instant::now() + this.patience);
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn broken(error: &hyper::Error) -> Error {
    if error.is_incomplete_message() { Error::HttpResponseIncomplete } else { Error::ConnectionTerminated }
}
