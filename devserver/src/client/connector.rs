//! How a connection to an upstream comes about: name, network, TLS. All of it is bounded by the upstream's
//! `timeout.connect`, and what stands in the way is told apart.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use weir::platform::ConnectFault;

/// A clone is the same connector.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Names>,
    tls: TlsConnector,
    patience: Duration,
}

impl Connector {
    pub(super) fn new(patience: Duration, tls: &Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
        tcp.set_connect_timeout(Some(patience));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        tcp.enforce_http(false);
        Self { tcp, tls: TlsConnector::from(Arc::clone(tls)), patience }
    }
}

/// There is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unconnected(pub(super) ConnectFault);

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Error for Unconnected {}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, Unconnected>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        self.tcp.poll_ready(cx).map_err(|error| Unconnected(cause(&error)))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let deadline = Instant::now() + self.patience;
        let (tls, name) = (self.tls.clone(), server_name(&to));
        let is_plain = to.scheme() == Some(&Scheme::HTTP);
        let tcp = self.tcp.call(to);
        Box::pin(async move {
            let tcp = timeout_at(deadline, tcp).await.map_err(|_| Unconnected(ConnectFault::TimedOut))?;
            let tcp = tcp.map_err(|error| Unconnected(cause(&error)))?;
            if is_plain {
                return Ok(TokioIo::new(Link::new(Stream::Plain(tcp.into_inner()))));
            }
            let name = name.ok_or(Unconnected(ConnectFault::NameUnresolved))?;
            let secured = timeout_at(deadline, tls.connect(name, tcp.into_inner())).await;
            let secured = secured.map_err(|_| Unconnected(ConnectFault::TlsTimedOut))?;
            let secured =
                secured.map_err(|error| Unconnected(tls_cause(&error).unwrap_or(ConnectFault::TlsFailed)))?;
            Ok(TokioIo::new(Link::new(Stream::Secured(Box::new(secured)))))
        })
    }
}

/// Names as the machine resolves them; a failure is known as one.
#[derive(Clone)]
struct Names(GaiResolver);

/// The name leads to no address.
#[derive(Debug)]
struct Unresolved;

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ConnectFault::NameUnresolved.name())
    }
}

impl Error for Unresolved {}

impl Service<Name> for Names {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(|_| Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(|_| Unresolved) })
    }
}

fn server_name(to: &Uri) -> Option<ServerName<'static>> {
    let host = to.host()?.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}

/// What stood in the way of the network.
fn cause(error: &(dyn Error + 'static)) -> ConnectFault {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Unresolved>() {
            return ConnectFault::NameUnresolved;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
                io::ErrorKind::TimedOut => ConnectFault::TimedOut,
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    ConnectFault::Unreachable
                }
                _ => ConnectFault::Unknown,
            };
        }
        next = error.source();
    }
    ConnectFault::Unknown
}

/// What stood in the way of TLS. `None` where it is no error of TLS.
pub(super) fn tls_cause(error: &io::Error) -> Option<ConnectFault> {
    use AlertDescription as Alert;
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectFault::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectFault::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectFault::CertificateOfAnotherName
            }
            CertificateError::UnknownIssuer => ConnectFault::UnknownIssuer,
            // Whatever else is wrong with it.
            _ => ConnectFault::CertificateInvalid,
        },
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA,
        ) => ConnectFault::ClientCertificateRefused,
        _ => ConnectFault::TlsFailed,
    })
}

/// What became of a connection, for whoever sent something on it. A clone is of the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    has_answered: AtomicBool,
    has_heard: AtomicBool,
}

impl Past {
    /// An answer has begun on it.
    pub(super) fn answered(&self) {
        self.0.has_answered.store(true, Ordering::Relaxed);
    }

    /// Whether it had carried a call to its answer, and nothing has come since something was last written.
    pub(super) fn is_stale(&self) -> bool {
        self.0.has_answered.load(Ordering::Relaxed) && !self.0.has_heard.load(Ordering::Relaxed)
    }

    /// Whether it had carried a call to its answer.
    pub(super) fn is_used(&self) -> bool {
        self.0.has_answered.load(Ordering::Relaxed)
    }
}

/// A connection to an upstream.
pub(super) struct Link {
    stream: Stream,
    past: Past,
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Link {
    fn new(stream: Stream) -> Self {
        Self { stream, past: Past::default() }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.past.clone());
        match &self.stream {
            Stream::Secured(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            Stream::Secured(_) | Stream::Plain(_) => connected,
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            self.past.0.has_heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.past.0.has_heard.store(false, Ordering::Relaxed);
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.past.0.has_heard.store(false, Ordering::Relaxed);
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Secured(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}
